variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the function runs."
  type        = string
}

variable "name" {
  description = "The door: the function's name and its entry point in the archive."
  type        = string
}

variable "build" {
  description = "What every door is built from."
  type = object({
    bucket     = string
    object     = string
    runtime    = string
    repository = string
    account    = string
  })
}

variable "environment" {
  description = "The function's variables; no secret."
  type        = map(string)
}

variable "databases" {
  description = "The role on each database that the door uses."
  type        = map(string)
  default     = {}
}

variable "keys" {
  description = "What the door may do with which key, by a label."
  type        = map(object({ key = string, role = string }))
  default     = {}
}

variable "projects" {
  description = "What the door may do in a whole project, by a label: what is granted no narrower."
  type        = map(object({ project = string, role = string }))
  default     = {}
}

variable "publishes" {
  description = "The topics that the door publishes to, by a label."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Variables whose values come from Secret Manager: the secret's id by the variable's name."
  type        = map(string)
  default     = {}
}

variable "invokers" {
  description = "Who may call the function, by a label."
  type        = map(string)
  default     = {}
}

variable "ingress" {
  description = "From where it may be called: ALLOW_ALL, or ALLOW_INTERNAL_ONLY (Pub/Sub, Eventarc, Scheduler of this project)."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"
}

variable "min_instances" {
  description = "Instances that wait."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "Instances at most."
  type        = number
  default     = 10
}

variable "concurrency" {
  description = "Requests that one instance takes at once."
  type        = number
  default     = 8
}

variable "memory" {
  description = "Of an instance."
  type        = string
  default     = "512Mi"
}

variable "timeout_seconds" {
  description = "How long one request may take."
  type        = number
  default     = 60
}
