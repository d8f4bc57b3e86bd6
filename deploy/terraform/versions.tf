terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }

  # terraform init -backend-config=bucket=... : the state holds no secret, but it says who may do what.
  backend "gcs" {
    prefix = "integration-assets"
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
