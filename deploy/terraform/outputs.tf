output "drained_by" {
  description = "Which image drains each queue."
  value       = local.target
}
