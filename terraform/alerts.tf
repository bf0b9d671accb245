resource "google_monitoring_notification_channel" "mail" {
  project      = var.project
  display_name = "keyturn"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.this]
}

# Log messages to count. A test compares each text with the code that writes it.
locals {
  log_metrics = {
    unsettled  = "resource.type=\"cloud_run_revision\" AND (textPayload:\"a client could not be settled\" OR jsonPayload.message:\"a client could not be settled\")"
    late       = "resource.type=\"cloud_run_revision\" AND (textPayload:\"a client was settled late\" OR jsonPayload.message:\"a client was settled late\")"
    dropped    = "resource.type=\"cloud_run_revision\" AND (textPayload:\"an event was dropped\" OR jsonPayload.message:\"an event was dropped\")"
    kms_errors = "resource.type=\"cloud_run_revision\" AND (textPayload=~\"[0-9a-f]{16} Key(Unavailable|Refused) at \" OR jsonPayload.message=~\"[0-9a-f]{16} Key(Unavailable|Refused) at \")"
    sweep_runs = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"keyturn-sweep\" AND severity>=ERROR"
  }
}

resource "google_logging_metric" "this" {
  for_each = local.log_metrics

  project = var.project
  name    = "keyturn/${each.key}"
  filter  = each.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project
  display_name          = "keyturn: a rotation could not be distributed (dead letters)"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "there is a dead letter"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  # An event that can never succeed is dropped and logged. It does not become a dead letter
  # (shared/keyturn/entry/http/cloud_events.py).
  conditions {
    display_name = "an event or a message was dropped"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["dropped"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
}

resource "google_monitoring_alert_policy" "failed_sweeps" {
  project               = var.project
  display_name          = "keyturn: sweeps fail"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "three calls by Scheduler were refused or timed out within five minutes"

    condition_threshold {
      filter          = "resource.type = \"cloud_scheduler_job\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["sweep_runs"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 2
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
}

# A client that receives no requests is promoted only by the sweep. So promotions are late if sweeps stop, fall behind, or
# cannot settle a client.
resource "google_monitoring_alert_policy" "late_promotions" {
  project               = var.project
  display_name          = "keyturn: promotions are late"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "no sweep has succeeded for ten minutes"

    condition_absent {
      filter   = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${module.grace_sweeper.service}\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"2xx\""
      duration = "600s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }

  conditions {
    display_name = "a client was settled more than ten minutes late"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["late"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }

  conditions {
    display_name = "a client could not be settled"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["unsettled"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
}

resource "google_monitoring_alert_policy" "kms_errors" {
  project               = var.project
  display_name          = "keyturn: Cloud KMS fails or refuses"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "five errors in five minutes"

    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.this["kms_errors"].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 4
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
}

# Each log entry names a version, so every one causes a notification. A count would lose the names.
resource "google_monitoring_alert_policy" "leaks" {
  for_each = {
    revoked   = "a leaked secret was revoked"
    presented = "a retired secret was presented"
  }

  project               = var.project
  display_name          = "keyturn: ${each.value}"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = each.value

    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND (textPayload:\"${each.value}\" OR jsonPayload.message:\"${each.value}\")"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "300s"
    }
  }
}

# An integrator still uses its old secret shortly before grace ends, and will be refused then.
resource "google_monitoring_alert_policy" "unfinished_cutover" {
  project               = var.project
  display_name          = "keyturn: an old secret is in use near its end"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "the sweep found one"

    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND (textPayload:\"an old secret is in use near its end\" OR jsonPayload.message:\"an old secret is in use near its end\")"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }
}

# The end of a client's credentials (valid_until) is near, and every secret of the client is refused from then on.
resource "google_monitoring_alert_policy" "ending_client" {
  project               = var.project
  display_name          = "keyturn: a client's credentials end soon"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "the sweep found one"

    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND (textPayload:\"a client's credentials end soon\" OR jsonPayload.message:\"a client's credentials end soon\")"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "86400s"
    }
  }
}
