output "url" {
  description = "The function's public address, with the region's name."
  value       = google_cloudfunctions2_function.this.url
}

output "uri" {
  description = "The address of the underlying Cloud Run service. Pub/Sub and Scheduler call it, and it is their tokens' audience."
  value       = google_cloudfunctions2_function.this.service_config[0].uri

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

output "service" {
  description = "The name of the underlying Cloud Run service."
  value       = basename(google_cloudfunctions2_function.this.service_config[0].service)

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
