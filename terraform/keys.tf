resource "google_kms_key_ring" "this" {
  project  = var.project
  name     = "keyturn"
  location = var.region

  depends_on = [google_project_service.this]
}

# Computes and checks secret_hash. Versions are added by hand. The newest enabled one is used (docs/deploy.md).
resource "google_kms_crypto_key" "mac" {
  name                       = "mac"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "MAC"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "HMAC_SHA256"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Creates admin_proof's challenges, which are not stored: each is a MAC over time and nonce.
resource "google_kms_crypto_key" "challenges" {
  name                       = "challenges"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "MAC"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "HMAC_SHA256"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Seals group states and the service's own key. Only this key rotates automatically, because a ciphertext names its
# version.
resource "google_kms_crypto_key" "seal" {
  name                       = "seal"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = var.seal_rotation_period
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Separate signing keys: the function that issues integrators' access tokens must not be able to sign admins' proofs.
resource "google_kms_crypto_key" "tokens" {
  name                       = "tokens"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}

# For clients whose resource servers know RS256 only.
resource "google_kms_crypto_key" "tokens_rs256" {
  name                       = "tokens_rs256"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "RSA_SIGN_PKCS1_2048_SHA256"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key" "proofs" {
  name                       = "proofs"
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s"

  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = var.protection_level
  }

  lifecycle {
    prevent_destroy = true
  }
}
