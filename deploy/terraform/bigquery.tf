locals {
  # A dataset a source, and one for the ledger of merges.
  datasets = setunion(var.sources, ["integration_assets"])
}

resource "google_bigquery_dataset" "warehouse" {
  for_each = local.datasets

  dataset_id                 = each.value
  location                   = var.location
  description                = each.value == "integration_assets" ? "What integration_assets remembers of its merges." : "Current state of the streams of ${each.value}."
  delete_contents_on_destroy = false
  max_time_travel_hours      = var.time_travel_days * 24

  labels = {
    managed_by = "integration_assets"
    source     = each.value
  }

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.bigquery]
}
