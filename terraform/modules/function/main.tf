module "account" {
  source = "../account"

  project   = var.project
  name      = var.name
  databases = var.databases
  keys      = var.keys
  projects  = var.projects
  publishes = var.publishes
  secrets   = var.secrets
}

resource "google_cloudfunctions2_function" "this" {
  project  = var.project
  location = var.region
  name     = var.name

  build_config {
    runtime           = var.build.runtime
    entry_point       = var.name
    docker_repository = var.build.repository
    service_account   = var.build.account

    source {
      storage_source {
        bucket = var.build.bucket
        object = var.build.object
      }
    }
  }

  service_config {
    service_account_email            = module.account.email
    ingress_settings                 = var.ingress
    min_instance_count               = var.min_instances
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.concurrency
    available_cpu                    = "1"
    available_memory                 = var.memory
    timeout_seconds                  = var.timeout_seconds
    environment_variables            = var.environment

    dynamic "secret_environment_variables" {
      for_each = var.secrets
      content {
        project_id = var.project
        key        = secret_environment_variables.key
        secret     = secret_environment_variables.value
        version    = "latest"
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  project  = var.project
  location = var.region
  name     = basename(google_cloudfunctions2_function.this.service_config[0].service)
  role     = "roles/run.invoker"
  member   = each.value
}
