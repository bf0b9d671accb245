# Three databases, because access is granted by database (modules/account).
resource "google_firestore_database" "this" {
  for_each = toset(["control", "auth", "usage"])

  project     = var.project
  name        = each.key
  location_id = var.firestore_location
  type        = "FIRESTORE_NATIVE"

  # Optimistic commits by update_time are all that the store uses; a read never takes a lock.
  concurrency_mode = "OPTIMISTIC"

  # Old sealed group states must not be remembered: off. An hour of versions is kept even so (docs/deploy.md).
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_DISABLED"

  delete_protection_state = var.delete_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.delete_protection ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.this]
}

resource "google_firebaserules_ruleset" "deny" {
  project = var.project

  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/../firestore.rules")
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_firebaserules_release" "this" {
  for_each = google_firestore_database.this

  project      = var.project
  name         = "cloud.firestore/${each.value.name}"
  ruleset_name = google_firebaserules_ruleset.deny.name
}

locals {
  # The composite indexes of control; a test holds them against shared/keyturn/ports/indexes.py and firestore.indexes.json.
  indexes = {
    clients_due          = { collection = "oauth2_clients", fields = ["due_shard", "next_due_at"] }
    clients_by_change    = { collection = "oauth2_clients", fields = ["due_shard", "changed_at"] }
    rotations_of_client  = { collection = "oauth2_rotations", fields = ["client_id", "rotation_id"] }
    rotations_by_waiting = { collection = "oauth2_rotations", fields = ["waiting_for", "created_at"] }
  }

  # Documents that say in expires_at when they may go; a test holds them against shared/keyturn/use_cases/sweep/expiry.py. No index is
  # exempted: doctor asks in that order.
  expiring = {
    events           = { database = "control", collection = "events" }
    rates            = { database = "control", collection = "rates" }
    proofs           = { database = "control", collection = "proofs" }
    rotations        = { database = "control", collection = "oauth2_rotations" }
    versions         = { database = "control", collection = "secrets" }
    version_usage    = { database = "usage", collection = "version_usage" }
    client_failures  = { database = "usage", collection = "client_failures" }
    verifiers        = { database = "usage", collection = "verifiers" }
    canaries         = { database = "usage", collection = "canaries" }
    honeytokens      = { database = "usage", collection = "honeytokens" }
    invites          = { database = "auth", collection = "invites" }
    challenges       = { database = "auth", collection = "challenges" }
    refused_evidence = { database = "usage", collection = "refusals" }
  }
}

locals {
  # Fields of control that no query asks by. Firestore would index each one, and each entry of each map in it: sealed
  # states would be remembered in part, every client's write would cost a hundred index entries, and times that only
  # rise would be written to one place of an index by everybody.
  unindexed = {
    oauth2_clients   = ["live", "updated_at", "changed_at", "next_due_at", "last_promoted_at", "audit_head", "approvals", "recent_requests"]
    secrets          = ["created_at", "not_before", "not_after"]
    oauth2_rotations = ["recipients", "acks", "created_at", "distributed_at", "completed_at"]
    audit            = ["at", "before", "after", "ids"]
    mls_groups       = ["sealed"]
    roster           = ["members", "absent"]
    messages         = ["event", "at"]
    key_packages     = ["event", "at"]
    welcomes         = ["event", "at"]
    service          = ["sealed"]
    events           = ["answer"]
  }

  unindexed_fields = merge([for collection, fields in local.unindexed : { for field in fields : "${collection}.${field}" => { collection = collection, field = field } }]...)
}

resource "google_firestore_field" "unindexed" {
  for_each = local.unindexed_fields

  project    = var.project
  database   = google_firestore_database.this["control"].name
  collection = each.value.collection
  field      = each.value.field

  # None: composite indexes are declared apart.
  index_config {}
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  project     = var.project
  database    = google_firestore_database.this["control"].name
  collection  = each.value.collection
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value
      order      = "ASCENDING"
    }
  }
}

resource "google_firestore_field" "expires_at" {
  for_each = local.expiring

  project    = var.project
  database   = google_firestore_database.this[each.value.database].name
  collection = each.value.collection
  field      = "expires_at"

  ttl_config {}
}
