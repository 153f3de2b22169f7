"""What an operator's Prometheus and Grafana load: the dashboard and the alert rules."""
