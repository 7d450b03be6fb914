"""What does a running graph say? Rates, alerts, log lines."""
