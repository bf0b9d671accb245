variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The function that runs as this account."
  type        = string
}

variable "databases" {
  description = "The role on each database that the function uses. It has none on the others."
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
  description = "The secrets that the function reads, by a label."
  type        = map(string)
  default     = {}
}
