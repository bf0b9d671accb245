output "base_url" {
  description = "What the command line takes as --url."
  value       = local.base_url
}

output "urls" {
  description = "The doors that answer from outside."
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
  description = "The doors that only this project's Pub/Sub, Eventarc and Scheduler reach."
  value = {
    distribute        = module.distribute.url
    grace_sweeper     = module.grace_sweeper.url
    on_secret_version = module.on_secret_version.url
  }
}

output "token_issuer" {
  description = "The issuer of access tokens; RFC 8414 metadata and keys lie under it."
  value       = "${local.base_url}/client_token"
}

output "mac_key" {
  description = "The key whose versions compute secret_hash."
  value       = google_kms_crypto_key.mac.id
}

output "environment" {
  description = "The variables of the doors, for `keyturn keys --cloud`; no secret."
  value       = local.environment
}
