variable "project" {
  description = "The project's id."
  type        = string
}

variable "name" {
  description = "The door that runs as this account."
  type        = string
}

variable "databases" {
  description = "The role on each database that the door uses; on the others it has none."
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
  description = "The secrets that the door reads, by a label."
  type        = map(string)
  default     = {}
}
