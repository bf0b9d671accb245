resource "google_storage_bucket" "source" {
  project                     = var.project
  name                        = "${var.project}-keyturn-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  depends_on = [google_project_service.this]
}

# One archive for all functions. Its name contains its hash, so only a changed archive causes a deployment.
resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  name   = "keyturn-${filesha256(var.archive)}.zip"
  source = var.archive
}

resource "google_artifact_registry_repository" "functions" {
  project       = var.project
  location      = var.region
  repository_id = "keyturn-functions"
  format        = "DOCKER"

  cleanup_policies {
    id     = "keep-few"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.this]
}

# For builds only. A build can access the archive and the registry, but no database and no key.
resource "google_service_account" "build" {
  project      = var.project
  account_id   = "keyturn-build"
  display_name = "keyturn: builds the functions"

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# The platform first copies the archive into a bucket of its own. Its name is unknown until it exists.
resource "google_project_iam_member" "build_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title      = "archives only"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\") || resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.source.name}\")"
  }
}

resource "google_artifact_registry_repository_iam_member" "build_images" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.functions.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}
