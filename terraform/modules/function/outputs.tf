output "url" {
  description = "The function's address under the region's name, what people use."
  value       = google_cloudfunctions2_function.this.url
}

output "uri" {
  description = "The address of the Run service beneath, what Pub/Sub and Scheduler call, and the audience of their tokens."
  value       = google_cloudfunctions2_function.this.service_config[0].uri

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}

output "service" {
  description = "The name of the Run service beneath."
  value       = basename(google_cloudfunctions2_function.this.service_config[0].service)

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
