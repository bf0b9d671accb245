# Three databases, because access is granted per database (modules/account).
resource "google_firestore_database" "this" {
  for_each = toset(["control", "auth", "usage"])

  project     = var.project
  name        = each.key
  location_id = var.firestore_location
  type        = "FIRESTORE_NATIVE"

  # The store uses only optimistic commits with update_time preconditions. A read never takes a lock.
  concurrency_mode = "OPTIMISTIC"

  # Disabled, because old sealed group states must not be kept. Firestore keeps one hour even so (docs/deploy.md).
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
  # The composite indexes of control. A test compares them with shared/keyturn/ports/indexes.py and
  # firestore.indexes.json.
  indexes = {
    clients_due          = { collection = "oauth2_clients", fields = ["due_shard", "next_due_at"] }
    clients_by_change    = { collection = "oauth2_clients", fields = ["due_shard", "changed_at"] }
    rotations_of_client  = { collection = "oauth2_rotations", fields = ["client_id", "rotation_id"] }
    rotations_by_waiting = { collection = "oauth2_rotations", fields = ["waiting_for", "created_at"] }
  }

  # Documents with an expires_at. A test compares them with shared/keyturn/use_cases/sweep/expiry.py. The field stays
  # indexed, because the doctor queries in that order.
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
    revoked_tokens   = { database = "usage", collection = "revoked_tokens" }
    honeytokens      = { database = "usage", collection = "honeytokens" }
    invites          = { database = "auth", collection = "invites" }
    challenges       = { database = "auth", collection = "challenges" }
    refused_evidence = { database = "usage", collection = "refusals" }
  }
}

locals {
  # Fields of control that no query uses. Firestore would index each field and each entry of each map. Then indexes would
  # keep parts of sealed states, every write of a client would cost a hundred index entries, and increasing times would
  # create a hot spot at the end of an index.
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

  # None, because composite indexes are declared separately.
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
