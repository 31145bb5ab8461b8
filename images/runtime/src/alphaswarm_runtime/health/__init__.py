"""What a process says of itself: probes, metrics, logs, traces."""
