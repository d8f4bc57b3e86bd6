variable "project" {
  description = "Id of the Google Cloud project; it exists already, with billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id (6 to 30 lower-case letters, digits and hyphens), not its name or number."
  }
}

variable "region" {
  description = "Where Cloud Run and Kubernetes run. Near the location, or every byte crosses the sea."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as europe-west1."
  }
}

variable "location" {
  description = "Where the data is: of the bucket and of the datasets alike, because BigQuery loads only from its own location."
  type        = string
  default     = "EU"

  validation {
    condition     = can(regex("^(EU|US|[a-z]+-[a-z]+[0-9]+)$", var.location))
    error_message = "Give EU, US or a region such as europe-west1."
  }
}

variable "lake_bucket" {
  description = "Name of the bucket that the lake is in; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.lake_bucket)) && !startswith(var.lake_bucket, "goog")
    error_message = "3 to 63 lower-case letters, digits, hyphens and underscores; not beginning with goog."
  }
}

variable "logs_bucket" {
  description = "Name of the bucket for what the steps of runs print; another one, so that the webserver can read it and no data."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.logs_bucket)) && var.logs_bucket != var.lake_bucket
    error_message = "A bucket's name as for the lake, and not the lake's own."
  }
}

variable "sources" {
  description = "Names of the sources that are synced: each gets its dataset."
  type        = set(string)

  validation {
    condition     = length(var.sources) > 0 && alltrue([for name in var.sources : can(regex("^[a-z][a-z0-9_]*$", name))])
    error_message = "At least one source, each by its name in integration_assets/sources."
  }
}

variable "secrets" {
  description = "Names of the sources' secrets, as `integration sources` lists them. Their values are never given to Terraform."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.secrets : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "Names of environment variables such as NYC_OPS_KEY; never the secret itself."
  }
}

variable "kms_key" {
  description = "A key of your own for bucket and datasets: projects/P/locations/L/keyRings/R/cryptoKeys/K. Google's when null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Give the key's full name, without a version."
  }
}

variable "soft_delete_days" {
  description = "Days in which a deleted or overwritten lake file can be brought back; also how long a deleted person's rows still exist."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days >= 7 && var.soft_delete_days <= 90
    error_message = "7 to 90 days."
  }
}

variable "time_travel_days" {
  description = "Days in which a warehouse table can be read as it was."
  type        = number
  default     = 7

  validation {
    condition     = var.time_travel_days >= 2 && var.time_travel_days <= 7
    error_message = "2 to 7 days."
  }
}

variable "logs_days" {
  description = "Days that the output of steps is kept."
  type        = number
  default     = 90

  validation {
    condition     = var.logs_days >= 1
    error_message = "At least a day."
  }
}

variable "kubernetes_namespace" {
  description = "Namespace of the Helm release whose service accounts act as the ones made here; null without Kubernetes."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_namespace == null || can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.kubernetes_namespace))
    error_message = "Give a namespace's name, or null."
  }
}
