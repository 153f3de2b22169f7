"""A delivery that failed, as the topic `webhooks` holds it."""

from __future__ import annotations

from schemas.webhook import WebhookFailureRecord
from segmentation.model import InstantMs

FAILURE = WebhookFailureRecord(
    webhook_id="w",
    failure_id="f",
    delivery_id="a|u|1|1",
    contact_id="u",
    failed_at=InstantMs(0),
    attempts=1,
    reason="the receiver answered 410",
    body="{}",
)
