variable "project" {
  description = "The project's id. Use the project for keyturn only, so that grants on the project concern nothing else."
  type        = string
}

variable "region" {
  description = "The region of functions, key ring, topics and buckets."
  type        = string
  default     = "europe-west1"
}

variable "firestore_location" {
  description = "The location of the databases: the region, or a multi-region (eur3, nam5). It cannot be changed later."
  type        = string
  default     = "europe-west1"
}

variable "archive" {
  description = "The path of the archive that `make package` printed."
  type        = string
}

variable "stage" {
  description = "`production` or `trial`. A trial says so in every response and audit entry. Both require attested admins."
  type        = string
  default     = "production"

  validation {
    condition     = contains(["trial", "production"], var.stage)
    error_message = "The stage is trial or production."
  }
}

variable "settings" {
  description = "Further KEYTURN_ variables of every function (KEYTURN_POLICY_…, KEYTURN_AUDIENCE, KEYTURN_DENIED), without secrets."
  type        = map(string)
  default     = {}
}

variable "base_url" {
  description = "The functions' public address, without a trailing slash. Empty means their own address."
  type        = string
  default     = ""
}

variable "operators" {
  description = "The callers allowed to call the function `operator`, by a label: { alice = \"user:alice@example.com\" }."
  type        = map(string)
  default     = {}
}

variable "protection_level" {
  description = "The keys' protection level: SOFTWARE, or HSM, which costs more (docs/deploy.md)."
  type        = string
  default     = "SOFTWARE"

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.protection_level)
    error_message = "The protection level is SOFTWARE or HSM."
  }
}

variable "seal_rotation_period" {
  description = "After how many seconds the sealing key gets a new primary version. Older versions still unseal."
  type        = string
  default     = "7776000s"
}

variable "delete_protection" {
  description = "Whether the databases are protected from deletion. Set to false only before a teardown."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "For how many days an export is kept."
  type        = number
  default     = 30
}

variable "alert_email" {
  description = "The e-mail address that receives alerts."
  type        = string
}

variable "firebase_project" {
  description = "The Firebase project that issues the admins' ID tokens. Empty means this project."
  type        = string
  default     = ""
}

variable "attestations" {
  description = "The accepted kinds of devices, each with its variables: { app_check = { KEYTURN_APP_CHECK_PROJECT = \"…\", KEYTURN_APP_CHECK_APPS = \"…\" } }."
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
  description = "The minimum number of instances of `client_token`. All other functions scale to zero."
  type        = number
  default     = 1
}

variable "runtime" {
  description = "The functions' runtime."
  type        = string
  default     = "python312"
}
