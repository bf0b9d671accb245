# Exports by collection, because Firestore's backup schedules cannot exclude one. No copy may exist outside the database
# of sealed group states, messages, Welcomes, or the service's own key (`service` in control). A restored store re-creates
# its groups (docs/deploy.md). In auth, `service` is the register of admins. Without it any user could become the first.

locals {
  exported = {
    control = ["oauth2_clients", "secrets", "audit", "audit_heads", "oauth2_rotations", "key_packages"]
    auth    = ["admins", "npubs", "service"]
  }
}

resource "google_service_account" "backup" {
  project      = var.project
  account_id   = "keyturn-backup"
  display_name = "keyturn: Scheduler exports the databases"

  depends_on = [google_project_service.this]
}

# The predefined role may also import, which would allow writes to the database.
resource "google_project_iam_custom_role" "exporter" {
  project     = var.project
  role_id     = "keyturnExporter"
  title       = "keyturn: exports databases"
  permissions = ["datastore.databases.export"]
}

resource "google_project_iam_member" "backup" {
  for_each = local.exported

  project = var.project
  role    = google_project_iam_custom_role.exporter.id
  member  = google_service_account.backup.member

  condition {
    title      = "database ${each.key} only"
    expression = "resource.name == \"projects/${var.project}/databases/${each.key}\""
  }
}

# One bucket per database. An export into the root of a bucket is named after its time.
resource "google_storage_bucket" "backup" {
  for_each = local.exported

  project                     = var.project
  name                        = "${var.project}-keyturn-backup-${each.key}"
  location                    = var.firestore_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = var.backup_days
    }
  }

  depends_on = [google_project_service.this]
}

# Firestore requires that the caller of an export may administer the bucket. Only this account may.
resource "google_storage_bucket_iam_member" "backup" {
  for_each = local.exported

  bucket = google_storage_bucket.backup[each.key].name
  role   = "roles/storage.admin"
  member = google_service_account.backup.member
}

resource "google_cloud_scheduler_job" "backup" {
  for_each = local.exported

  project   = var.project
  region    = var.region
  name      = "keyturn-backup-${each.key}"
  schedule  = "17 3 * * *"
  time_zone = "Etc/UTC"

  retry_config {
    retry_count = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://firestore.googleapis.com/v1/projects/${var.project}/databases/${each.key}:exportDocuments"
    headers     = { "Content-Type" = "application/json" }
    body = base64encode(jsonencode({
      outputUriPrefix = "gs://${google_storage_bucket.backup[each.key].name}"
      collectionIds   = each.value
    }))

    oauth_token {
      service_account_email = google_service_account.backup.email
      scope                 = "https://www.googleapis.com/auth/datastore"
    }
  }

  depends_on = [google_firestore_database.this, google_project_iam_member.backup, google_storage_bucket_iam_member.backup]
}
