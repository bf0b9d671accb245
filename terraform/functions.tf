# One block per function: its grants, its callers and its size. tests/terraform/test_access.py has the grants as a table
# and fails if either place has one that the other lacks.

locals {
  base_url = var.base_url != "" ? var.base_url : "https://${var.region}-${var.project}.cloudfunctions.net"

  environment = merge({
    KEYTURN_STAGE            = var.stage
    KEYTURN_PROJECT          = var.project
    KEYTURN_BASE_URL         = local.base_url
    KEYTURN_DATABASE_CONTROL = google_firestore_database.this["control"].name
    KEYTURN_DATABASE_AUTH    = google_firestore_database.this["auth"].name
    KEYTURN_DATABASE_USAGE   = google_firestore_database.this["usage"].name
    KEYTURN_MAC_KEY          = google_kms_crypto_key.mac.id
    KEYTURN_SEAL_KEY         = google_kms_crypto_key.seal.id
    KEYTURN_SIGN_KEY         = google_kms_crypto_key.tokens.id
    KEYTURN_SIGN_KEY_RS256   = google_kms_crypto_key.tokens_rs256.id
    KEYTURN_AUTHORISER       = "attested_admin"
    KEYTURN_PROOF_JWKS       = "${local.base_url}/admin_proof/.well-known/jwks.json"
    KEYTURN_IDENTITY         = "firebase"
    KEYTURN_FIREBASE_PROJECT = local.identity_project
    KEYTURN_ATTESTATIONS     = join(" ", keys(var.attestations))
    KEYTURN_TRIAL_PROJECT    = var.stage == "trial" ? var.project : ""
  }, merge({}, values(var.attestations)...), var.settings)

  build = {
    bucket     = google_storage_bucket.source.name
    object     = google_storage_bucket_object.source.name
    runtime    = var.runtime
    repository = google_artifact_registry_repository.functions.id
    account    = google_service_account.build.id
  }
}

module "rotate_request" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "rotate_request"
  build       = local.build
  environment = local.environment
  ingress     = "ALLOW_ALL"
  invokers    = { public = "allUsers" }
  databases   = { control = "roles/datastore.user", usage = "roles/datastore.user" }
  keys = {
    seal = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyEncrypterDecrypter" }
  }
}

module "on_secret_version" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "on_secret_version"
  build       = local.build
  environment = local.environment
  invokers    = { events = google_service_account.events.member }
  databases   = { control = "roles/datastore.viewer" }
  publishes   = { distribution = google_pubsub_topic.distribution.id }
}

module "distribute" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "distribute"
  build       = local.build
  environment = local.environment
  invokers    = { push = google_service_account.push.member }
  databases   = { control = "roles/datastore.user" }
  keys = {
    mac          = { key = google_kms_crypto_key.mac.id, role = "roles/cloudkms.signerVerifier" }
    mac_versions = { key = google_kms_crypto_key.mac.id, role = "roles/cloudkms.viewer" }
    seal         = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyEncrypterDecrypter" }
  }

  # An instance works on one group's path update at a time, because two would race for the same document.
  concurrency     = 1
  memory          = "1Gi"
  timeout_seconds = 120
}

module "grace_sweeper" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "grace_sweeper"
  build       = local.build
  environment = local.environment
  invokers    = { scheduler = google_service_account.scheduler.member }
  databases   = { control = "roles/datastore.user", usage = "roles/datastore.viewer" }
  publishes   = { distribution = google_pubsub_topic.distribution.id }
  keys = {
    seal = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyEncrypterDecrypter" }
  }

  concurrency     = 1
  max_instances   = 1
  timeout_seconds = 300
}

module "client_token" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "client_token"
  build       = local.build
  environment = local.environment
  ingress     = "ALLOW_ALL"
  invokers    = { public = "allUsers" }
  databases   = { control = "roles/datastore.viewer", usage = "roles/datastore.user" }
  keys = {
    mac             = { key = google_kms_crypto_key.mac.id, role = "roles/cloudkms.verifier" }
    tokens          = { key = google_kms_crypto_key.tokens.id, role = "roles/cloudkms.signer" }
    tokens_jwks     = { key = google_kms_crypto_key.tokens.id, role = "roles/cloudkms.publicKeyViewer" }
    tokens_versions = { key = google_kms_crypto_key.tokens.id, role = "roles/cloudkms.viewer" }
    rs256           = { key = google_kms_crypto_key.tokens_rs256.id, role = "roles/cloudkms.signer" }
    rs256_jwks      = { key = google_kms_crypto_key.tokens_rs256.id, role = "roles/cloudkms.publicKeyViewer" }
    rs256_versions  = { key = google_kms_crypto_key.tokens_rs256.id, role = "roles/cloudkms.viewer" }
  }

  min_instances = var.min_instances
  max_instances = 20
  concurrency   = 40
}

module "status" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "status"
  build       = local.build
  environment = local.environment
  ingress     = "ALLOW_ALL"
  invokers    = { public = "allUsers" }
  databases   = { control = "roles/datastore.viewer", usage = "roles/datastore.user" }
}

# Registers admins. It seals their TOTP seeds, and verifies admin_proof's challenges without being able to create any.
module "enrol" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "enrol"
  build       = local.build
  environment = merge(local.environment, { KEYTURN_MAC_KEY = google_kms_crypto_key.challenges.id })
  ingress     = "ALLOW_ALL"
  invokers    = { public = "allUsers" }
  databases   = { control = "roles/datastore.user", auth = "roles/datastore.user", usage = "roles/datastore.user" }
  keys = {
    challenges          = { key = google_kms_crypto_key.challenges.id, role = "roles/cloudkms.verifier" }
    challenges_versions = { key = google_kms_crypto_key.challenges.id, role = "roles/cloudkms.viewer" }
    seal                = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyEncrypterDecrypter" }
  }
  projects = {
    identity = { project = local.identity_project, role = "roles/firebaseauth.viewer" }
  }
}

# Reachable from outside, but only for the callers that IAM allows.
module "operator" {
  source = "./modules/function"

  project     = var.project
  region      = var.region
  name        = "operator"
  build       = local.build
  environment = local.environment
  ingress     = "ALLOW_ALL"
  invokers    = var.operators
  databases   = { control = "roles/datastore.user", auth = "roles/datastore.user", usage = "roles/datastore.viewer" }
  keys = {
    seal = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyEncrypterDecrypter" }
  }

  max_instances = 2
}

# Has keys of its own: a challenge's MAC must not verify a credential, and a token's signature must not verify as a proof.
# It unseals TOTP seeds but does not seal any. Group states use the same key, but are in a database it cannot read.
module "admin_proof" {
  source = "./modules/function"

  project = var.project
  region  = var.region
  name    = "admin_proof"
  build   = local.build
  environment = merge(local.environment, {
    KEYTURN_MAC_KEY        = google_kms_crypto_key.challenges.id
    KEYTURN_SIGN_KEY       = google_kms_crypto_key.proofs.id
    KEYTURN_SIGN_KEY_RS256 = ""
  })
  ingress   = "ALLOW_ALL"
  invokers  = { public = "allUsers" }
  databases = { auth = "roles/datastore.user", usage = "roles/datastore.user" }
  keys = {
    challenges          = { key = google_kms_crypto_key.challenges.id, role = "roles/cloudkms.signerVerifier" }
    challenges_versions = { key = google_kms_crypto_key.challenges.id, role = "roles/cloudkms.viewer" }
    proofs              = { key = google_kms_crypto_key.proofs.id, role = "roles/cloudkms.signer" }
    proofs_jwks         = { key = google_kms_crypto_key.proofs.id, role = "roles/cloudkms.publicKeyViewer" }
    proofs_versions     = { key = google_kms_crypto_key.proofs.id, role = "roles/cloudkms.viewer" }
    seal                = { key = google_kms_crypto_key.seal.id, role = "roles/cloudkms.cryptoKeyDecrypter" }
  }
  projects = {
    identity = { project = local.identity_project, role = "roles/firebaseauth.viewer" }
  }
}
