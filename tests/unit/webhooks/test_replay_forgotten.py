"""A failure whose replay was delivered leaves the list, also if the broker went away in between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.webhook import WebhookFailureRecord, WebhookRecord, failure_key
from segmentation.model import InstantMs
from services.runtime.errors import ServiceError
from services.webhooks.api import WebhookRoutes
from services.webhooks.registry import Registry
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret
from tests.unit.webhooks.records import FAILURE

WEBHOOK = WebhookRecord(id="w", url="https://example.com/", secret=new_secret(), created_at=InstantMs(0))


async def test_a_replay_that_was_delivered_and_could_not_be_forgotten_is_forgotten_when_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(WebhookSettings(), None)
    registry._apply("webhook|w", WEBHOOK.encode())
    registry._apply("failure|w|f", FAILURE.encode())
    delivered: list[WebhookFailureRecord] = []
    is_away = True

    async def append(key: bytes, value: bytes | None) -> None:
        if key == failure_key("w", "f") and is_away:
            raise ServiceError("the broker is away")
        registry._apply(key.decode(), value)

    async def replay(failure: WebhookFailureRecord) -> None:
        delivered.append(failure)

    async def audited(*_: object) -> None: ...

    monkeypatch.setattr(registry, "_append", append)
    follower: Any = SimpleNamespace(replay=replay)
    guard: Any = SimpleNamespace(admit=None)
    audit: Any = SimpleNamespace(replayed=audited)
    request: Any = SimpleNamespace(state=SimpleNamespace(key_id="k", request_id="r"))
    routes = WebhookRoutes(WebhookSettings(), registry, lambda _: follower, guard, audit)
    with pytest.raises(ServiceError):
        await routes._replay("w", "f", request)
    is_away = False
    assert (await routes._replay("w", "f", request)).headers["Idempotency-Replayed"] == "true"
    assert delivered == [FAILURE]
    assert registry.failures("w") == []
