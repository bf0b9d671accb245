# Identity Platform (Firebase Authentication) authenticates admins: in this project, unless another one is named.

locals {
  identity_project = var.firebase_project != "" ? var.firebase_project : var.project
}

resource "google_identity_platform_config" "this" {
  count = var.firebase_project == "" ? 1 : 0

  project                    = var.project
  autodelete_anonymous_users = true

  # The project's administrator creates the users (docs/deploy.md).
  client {
    permissions {
      disabled_user_signup   = true
      disabled_user_deletion = true
    }
  }

  sign_in {
    email {
      enabled           = true
      password_required = true
    }
  }

  depends_on = [google_project_service.this]
}
