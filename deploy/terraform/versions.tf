terraform {
  required_version = ">= 1.9" # a validation that asks another variable

  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.35"
    }
  }
}
