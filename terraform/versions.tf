terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }

  # The bucket is given at `terraform init -backend-config=bucket=…`: docs/deploy.md. No secret enters the state.
  backend "gcs" {
    prefix = "keyturn"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
