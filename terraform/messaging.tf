# The callers of functions. Each has an account that may call one function and do nothing else.

resource "google_service_account" "events" {
  project      = var.project
  account_id   = "keyturn-events"
  display_name = "keyturn: Eventarc calls on_secret_version"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "push" {
  project      = var.project
  account_id   = "keyturn-push"
  display_name = "keyturn: Pub/Sub calls distribute"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "scheduler" {
  project      = var.project
  account_id   = "keyturn-scheduler"
  display_name = "keyturn: Scheduler calls grace_sweeper"

  depends_on = [google_project_service.this]
}

# --- a secret version was written -------------------------------------------------------------------------------------

resource "google_project_iam_member" "events_receiver" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.events.member
}

resource "google_eventarc_trigger" "on_secret_version" {
  project  = var.project
  name     = "keyturn-on-secret-version"
  location = google_firestore_database.this["control"].location_id

  event_data_content_type = "application/protobuf"
  service_account         = google_service_account.events.email

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.firestore.document.v1.written"
  }

  matching_criteria {
    attribute = "database"
    value     = google_firestore_database.this["control"].name
  }

  matching_criteria {
    attribute = "document"
    operator  = "match-path-pattern"
    value     = "oauth2_clients/{client}/secrets/{version}"
  }

  destination {
    cloud_run_service {
      service = module.on_secret_version.service
      region  = var.region
    }
  }

  depends_on = [google_project_iam_member.events_receiver]
}

# --- a rotation is to be distributed ----------------------------------------------------------------------------------

resource "google_pubsub_topic" "distribution" {
  project = var.project
  name    = "secret-distribution"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "dead" {
  project = var.project
  name    = "secret-distribution-dead"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "distribute" {
  project = var.project
  name    = "distribute"
  topic   = google_pubsub_topic.distribution.id

  ack_deadline_seconds       = 150
  message_retention_duration = "86400s"

  push_config {
    push_endpoint = module.distribute.uri

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = module.distribute.uri
    }
  }

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "120s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 20
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [google_service_account_iam_member.push_tokens]
}

# Dead letters. They hold identifiers only. Inspect them, fix the cause, and publish them again.
resource "google_pubsub_subscription" "dead" {
  project = var.project
  name    = "distribute-dead"
  topic   = google_pubsub_topic.dead.id

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "dead_publisher" {
  project = var.project
  topic   = google_pubsub_topic.dead.id
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_subscriber" {
  project      = var.project
  subscription = google_pubsub_subscription.distribute.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# --- something is due -------------------------------------------------------------------------------------------------

resource "google_cloud_scheduler_job" "sweep" {
  project          = var.project
  region           = var.region
  name             = "keyturn-sweep"
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "300s"

  # The next minute's call is the retry.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = module.grace_sweeper.uri

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = module.grace_sweeper.uri
    }
  }
}
