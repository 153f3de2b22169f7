"""One round of deliveries: partitions side by side, of which one fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.codec import encode_membership_change
from schemas.webhook import WebhookRecord
from segmentation.model import InstantMs
from services.runtime.errors import ServiceError
from services.webhooks import follower as followers
from services.webhooks.follower import ROUND_S_MAX, Follower
from services.webhooks.sender import Outcome
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret
from tests.services.sdk.stream import Step
from tests.waiting import until

FAILING, SLOW = TopicPartition("memberships", 0), TopicPartition("memberships", 1)
WEBHOOK = WebhookRecord(id="w", url="https://example.com/", secret=new_secret(), created_at=InstantMs(0))
WAIT_S = 10.0


@dataclass
class World:
    """A receiver that never takes what is u's and holds what is v's, a broker that takes no failure."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    delivered: list[str] = field(default_factory=list)
    webhooks: dict[str, WebhookRecord] = field(default_factory=lambda: {"w": WEBHOOK})
    given_up: int = 0
    committed: dict[TopicPartition, int] = field(default_factory=dict)

    async def deliver(self, delivery_id: str, _body: bytes) -> Outcome:
        if "|u|" in delivery_id:
            return Outcome(1, "the receiver answered 410")
        await self.released.wait()
        self.delivered.append(delivery_id)
        return Outcome(1)

    async def give_up(self, _failure: Any) -> None:
        self.given_up += 1
        raise ServiceError("the broker is away")

    async def commit(self, ends: dict[TopicPartition, int]) -> None:
        self.committed.update(ends)


def records(contact: str) -> list[Any]:
    changes = [change for at in (1, 2) for change in Step(contact, at, ("a",)).changes()]
    values = [encode_membership_change(change, 0)[1] for change in changes]
    return [SimpleNamespace(offset=offset, value=value) for offset, value in enumerate(values, 10)]


async def test_no_delivery_goes_on_beside_the_next_round_when_another_partition_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world: Any = World()
    follower = Follower(WEBHOOK, WebhookSettings(), world)
    monkeypatch.setattr(follower, "_sender", world)
    fetched = {FAILING: records("u"), SLOW: records("v")}
    this_round = asyncio.create_task(follower._one_round(world, fetched))
    await until(lambda: world.given_up, WAIT_S, "the failure that cannot be kept")
    await asyncio.sleep(0.1)
    assert not this_round.done()
    world.released.set()
    with pytest.raises(ServiceError, match="the broker is away"):
        await this_round
    assert len(world.delivered) == 2
    assert world.committed == {SLOW: 12}


@pytest.mark.parametrize(
    "settings",
    [
        WebhookSettings(),
        WebhookSettings(webhook_attempts_max=20, webhook_timeout_ms=60_000, webhook_wait_max_ms=300_000),
    ],
    ids=["by default", "as patient as may be"],
)
async def test_the_group_waits_longer_than_a_round_with_all_attempts_of_its_last_delivery_takes(
    settings: WebhookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def consumer(**options: Any) -> Any:
        asked.update(options)
        raise ServiceError("seen")

    world: Any = World()
    monkeypatch.setattr(followers, "AIOKafkaConsumer", consumer)
    with pytest.raises(ServiceError, match="seen"):
        await Follower(WEBHOOK, settings, world)._connected()
    attempts = settings.webhook_attempts_max
    waits_ms = (attempts - 1) * settings.webhook_wait_max_ms
    assert asked["max_poll_interval_ms"] > ROUND_S_MAX * 1000 + attempts * settings.webhook_timeout_ms + waits_ms
