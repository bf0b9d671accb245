variable "project" {
  description = "The project's id. It holds nothing but keyturn: what is granted by project is then granted by suite."
  type        = string
}

variable "region" {
  description = "Where the functions, the key ring, the topics and the buckets are."
  type        = string
  default     = "europe-west1"
}

variable "firestore_location" {
  description = "Where the databases are: the region itself, or a multi-region (eur3, nam5). It can never be changed."
  type        = string
  default     = "europe-west1"
}

variable "archive" {
  description = "The path of the archive that `make package` wrote and named."
  type        = string
}

variable "stage" {
  description = "`trial` says so in every answer and audit entry, and runs in this one project; attested admins are asked for in both."
  type        = string
  default     = "production"

  validation {
    condition     = contains(["trial", "production"], var.stage)
    error_message = "The stage is trial or production."
  }
}

variable "settings" {
  description = "Further KEYTURN_ variables of every door (KEYTURN_POLICY_…, KEYTURN_AUDIENCE, KEYTURN_DENIED); no secret."
  type        = map(string)
  default     = {}
}

variable "base_url" {
  description = "Where the doors are reached from outside, without a trailing slash; empty: the functions' own address."
  type        = string
  default     = ""
}

variable "operators" {
  description = "Who may call the door `operator`, by a label: { alice = \"user:alice@example.com\" }."
  type        = map(string)
  default     = {}
}

variable "protection_level" {
  description = "Of the keys: SOFTWARE, or HSM (dearer, see docs/deploy.md)."
  type        = string
  default     = "SOFTWARE"

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.protection_level)
    error_message = "The protection level is SOFTWARE or HSM."
  }
}

variable "seal_rotation_period" {
  description = "After how many seconds the sealing key gets a new primary version; the old ones go on opening."
  type        = string
  default     = "7776000s"
}

variable "delete_protection" {
  description = "Whether the databases refuse to be deleted. false only on the way to a teardown."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "How many days an export is kept."
  type        = number
  default     = 30
}

variable "alert_email" {
  description = "Who is told when an alert fires."
  type        = string
}

variable "firebase_project" {
  description = "The Firebase project whose ID tokens say who an admin is; empty: this one."
  type        = string
  default     = ""
}

variable "attestations" {
  description = "The kinds of devices that count, each with its variables: { app_check = { KEYTURN_APP_CHECK_PROJECT = \"…\", KEYTURN_APP_CHECK_APPS = \"…\" } }."
  type        = map(map(string))

  validation {
    condition     = length(var.attestations) > 0 && length(setsubtract(keys(var.attestations), ["app_check", "app_attest", "webauthn", "dev_attest"])) == 0
    error_message = "At least one of app_check, app_attest, webauthn; or dev_attest, in stage trial."
  }

  validation {
    condition     = var.stage == "trial" || !contains(keys(var.attestations), "dev_attest")
    error_message = "dev_attest attests nothing: it is for stage trial."
  }
}

variable "min_instances" {
  description = "How many instances of `client_token` wait for integrators; the other doors start from none."
  type        = number
  default     = 1
}

variable "runtime" {
  description = "The functions' runtime."
  type        = string
  default     = "python312"
}
