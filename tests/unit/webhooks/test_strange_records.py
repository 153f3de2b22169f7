"""Records of the topic `webhooks` that somebody else wrote are passed by: they make, change and end nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.webhook import WebhookRecord, WebhookStart
from segmentation.model import InstantMs
from services.runtime.metrics import REGISTRY
from services.webhooks.registry import Registry
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret
from tests.unit.webhooks.records import FAILURE

WEBHOOK = WebhookRecord(
    id="w",
    url="https://example.com/",
    secret=new_secret(),
    created_at=InstantMs(0),
    start=WebhookStart(topic="memberships", offsets=[0]),
)


def passed_by() -> float:
    return REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", {"topic": "webhooks"}) or 0.0


def take(registry: Registry, *records: tuple[bytes, bytes | None]) -> None:
    read: list[Any] = [
        SimpleNamespace(topic="webhooks", partition=0, offset=at, key=key, value=value)
        for at, (key, value) in enumerate(records)
    ]
    registry._take(TopicPartition("webhooks", 0), read, len(read))


def changed(record: bytes, was: bytes, becomes: bytes) -> bytes:
    assert was in record
    return record.replace(was, becomes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"elsewhere|w", None),
        (b"w", None),
        (b"", WEBHOOK.encode()),
        (b"elsewhere|x", WEBHOOK.encode()),
        (b"webhook|x", b"[]"),
        (b"webhook|x", changed(WEBHOOK.encode(), b"[0]", b"[-1]")),
        (b"webhook|x", changed(WEBHOOK.encode(), b"[0]", b"[9223372036854775808]")),
        (b"failure|w|x", changed(FAILURE.encode(), b'"body":"{}"', b'"body":"{"')),
        (b"failure|w|x", changed(FAILURE.encode(), b'"attempts":1', b'"attempts":18446744073709551616')),
    ],
)
def test_what_is_no_webhook_failure_or_replay_is_passed_by(key: bytes, value: bytes | None) -> None:
    registry = Registry(WebhookSettings(), None)
    before = passed_by()
    take(registry, (b"webhook|w", WEBHOOK.encode()), (b"failure|w|f", FAILURE.encode()), (key, value))
    assert dict(registry.webhooks) == {"w": WEBHOOK}
    assert registry.failures("w") == [FAILURE]
    assert passed_by() == before + 1
