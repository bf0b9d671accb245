output "base_url" {
  description = "The value for the command line's --url."
  value       = local.base_url
}

output "urls" {
  description = "The functions that are reachable from outside."
  value = {
    admin_proof    = module.admin_proof.url
    client_token   = module.client_token.url
    enrol          = module.enrol.url
    operator       = module.operator.url
    rotate_request = module.rotate_request.url
    status         = module.status.url
  }
}

output "inner_urls" {
  description = "The functions that only this project's Pub/Sub, Eventarc and Scheduler can reach."
  value = {
    distribute        = module.distribute.url
    grace_sweeper     = module.grace_sweeper.url
    on_secret_version = module.on_secret_version.url
  }
}

output "token_issuer" {
  description = "The issuer of access tokens. Its RFC 8414 metadata and keys are at paths below it."
  value       = "${local.base_url}/client_token"
}

output "mac_key" {
  description = "The key that computes secret_hash."
  value       = google_kms_crypto_key.mac.id
}

output "environment" {
  description = "The functions' variables, for `keyturn keys --cloud`. They contain no secret."
  value       = local.environment
}
