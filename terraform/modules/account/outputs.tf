output "email" {
  description = "The account's e-mail address, available after all grants."
  value       = google_service_account.this.email

  depends_on = [
    google_project_iam_member.database,
    google_project_iam_member.elsewhere,
    google_kms_crypto_key_iam_member.key,
    google_pubsub_topic_iam_member.publisher,
    google_secret_manager_secret_iam_member.secret,
  ]
}
