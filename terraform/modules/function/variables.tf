variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "The region of the function."
  type        = string
}

variable "name" {
  description = "The function's name, which is also its entry point in the archive."
  type        = string
}

variable "build" {
  description = "The source that every function is built from."
  type = object({
    bucket     = string
    object     = string
    runtime    = string
    repository = string
    account    = string
  })
}

variable "environment" {
  description = "The function's environment variables, without secrets."
  type        = map(string)
}

variable "databases" {
  description = "The role on each database that the function uses."
  type        = map(string)
  default     = {}
}

variable "keys" {
  description = "The function's roles on keys, by a label."
  type        = map(object({ key = string, role = string }))
  default     = {}
}

variable "projects" {
  description = "Roles on the whole project, by a label, for rights that cannot be granted more narrowly."
  type        = map(object({ project = string, role = string }))
  default     = {}
}

variable "publishes" {
  description = "The topics that the function publishes to, by a label."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Variables with values from Secret Manager: the secret's id by the variable's name."
  type        = map(string)
  default     = {}
}

variable "invokers" {
  description = "The members allowed to call the function, by a label."
  type        = map(string)
  default     = {}
}

variable "ingress" {
  description = "The network sources it accepts: ALLOW_ALL, or ALLOW_INTERNAL_ONLY (Pub/Sub, Eventarc, Scheduler of this project)."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"
}

variable "min_instances" {
  description = "The minimum number of instances."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "The maximum number of instances."
  type        = number
  default     = 10
}

variable "concurrency" {
  description = "The maximum number of concurrent requests per instance."
  type        = number
  default     = 8
}

variable "memory" {
  description = "The memory of an instance."
  type        = string
  default     = "512Mi"
}

variable "timeout_seconds" {
  description = "The time limit of a request, in seconds."
  type        = number
  default     = 60
}
