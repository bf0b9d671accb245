# A function's account and all of its grants. It has no other rights.

resource "google_service_account" "this" {
  project      = var.project
  account_id   = "keyturn-${replace(var.name, "_", "-")}"
  display_name = "keyturn: function ${var.name}"
}

resource "google_project_iam_member" "database" {
  for_each = var.databases

  project = var.project
  role    = each.value
  member  = google_service_account.this.member

  condition {
    title      = "database ${each.key} only"
    expression = "resource.name == \"projects/${var.project}/databases/${each.key}\""
  }
}

resource "google_project_iam_member" "elsewhere" {
  for_each = var.projects

  project = each.value.project
  role    = each.value.role
  member  = google_service_account.this.member
}

resource "google_kms_crypto_key_iam_member" "key" {
  for_each = var.keys

  crypto_key_id = each.value.key
  role          = each.value.role
  member        = google_service_account.this.member
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.publishes

  project = var.project
  topic   = each.value
  role    = "roles/pubsub.publisher"
  member  = google_service_account.this.member
}

resource "google_secret_manager_secret_iam_member" "secret" {
  for_each = var.secrets

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}
