# The names only: a value that Terraform knows stands in its state for ever. `gcloud secrets versions add` brings the values.
resource "google_secret_manager_secret" "source" {
  for_each = var.secrets

  secret_id = each.value

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_iam_member" "runner" {
  for_each = google_secret_manager_secret.source

  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.runner.member
}
