terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # `terraform init -backend-config=bucket=…` sets the bucket (docs/deploy.md). The state holds no secret.
  backend "gcs" {
    prefix = "keyturn"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
