"""What the webhooks service measures."""

from __future__ import annotations

from services.runtime.metrics import counter, gauge

DELIVERIES = counter(
    "tidegate_webhook_deliveries", "Deliveries that came to an end: delivered, or given up.", ["outcome"]
)
ATTEMPTS_FAILED = counter("tidegate_webhook_attempts_failed", "Attempts that the receiver did not answer with 2xx.")
FAILURES_KEPT = gauge("tidegate_webhook_failures_kept", "Given-up deliveries that nobody has replayed yet.")
