output "environment" {
  description = "The settings of a run, as docs/settings.md names them."
  value = {
    INTEGRATION_LAKE_URI      = "gs://${google_storage_bucket.lake.name}/lake"
    INTEGRATION_WAREHOUSE_URI = "bigquery://${var.project}?location=${var.location}"
  }
}

output "instance_environment" {
  description = "What deploy/dagster.yaml asks of the environment, beside Postgres."
  value = {
    DAGSTER_LOGS_BUCKET = google_storage_bucket.logs.name
  }
}

output "runner" {
  description = "E-mail of the identity of runs."
  value       = google_service_account.runner.email
}

output "control" {
  description = "E-mail of the identity of webserver and daemon."
  value       = google_service_account.control.email
}
