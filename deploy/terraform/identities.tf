# Two identities. The runner pulls, lands and merges. The control plane (webserver, daemon) shows and launches, and can read no data.

resource "google_service_account" "runner" {
  account_id   = "integration-runner"
  display_name = "integration_assets: runs"
  description  = "Writes the lake and the warehouse. Acted as by runs, by the code server and by Cloud Run jobs."
}

resource "google_service_account" "control" {
  account_id   = "integration-control"
  display_name = "integration_assets: webserver and daemon"
  description  = "Reads the output of steps. No lake, no warehouse, no secret of a source."
}

# --- the lake's bucket: objects, and the bucket's own description (its location, that it exists), which objectUser leaves out

resource "google_storage_bucket_iam_member" "runner_lake_objects" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.runner.member
}

resource "google_storage_bucket_iam_member" "runner_lake_bucket" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.runner.member
}

# --- the logs' bucket: Dagster's GCSComputeLogManager asks whether its bucket exists in every process that loads the instance

resource "google_storage_bucket_iam_member" "runner_logs_objects" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectUser"
  member = google_service_account.runner.member
}

resource "google_storage_bucket_iam_member" "runner_logs_bucket" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.runner.member
}

resource "google_storage_bucket_iam_member" "control_logs_objects" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.control.member
}

resource "google_storage_bucket_iam_member" "control_logs_bucket" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.control.member
}

# --- BigQuery: the right to run jobs is the project's; what they may touch is each dataset's own

resource "google_project_iam_member" "runner_jobs" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.runner.member
}

resource "google_bigquery_dataset_iam_member" "runner" {
  for_each = google_bigquery_dataset.warehouse

  dataset_id = each.value.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.runner.member
}

# --- Kubernetes: the chart's two service accounts act as the two above, without a key file

resource "google_service_account_iam_member" "runner_kubernetes" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.runner.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.kubernetes_namespace}/integration-runner]"
}

resource "google_service_account_iam_member" "control_kubernetes" {
  count = var.kubernetes_namespace == null ? 0 : 1

  service_account_id = google_service_account.control.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.kubernetes_namespace}/integration-control]"
}
