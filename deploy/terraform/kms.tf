# With a key of one's own, it is Google's storage and BigQuery themselves that need it; the runner never does.

data "google_storage_project_service_account" "this" {
  count = var.kms_key == null ? 0 : 1
}

data "google_bigquery_default_service_account" "this" {
  count = var.kms_key == null ? 0 : 1
}

resource "google_kms_crypto_key_iam_member" "storage" {
  count = var.kms_key == null ? 0 : 1

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this[0].member
}

resource "google_kms_crypto_key_iam_member" "bigquery" {
  count = var.kms_key == null ? 0 : 1

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_bigquery_default_service_account.this[0].member
}
