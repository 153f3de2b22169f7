"""The webhooks, the deliveries that were given up and their replays, as their topic tells them.

Rule: what is written counts once it was read back from the log, so every process sees the same. A webhook is never
changed: of two under one id the first stands, and so of two who want to replay a failure (`replays.py`). Failures and
replays are bounded: past the limit the oldest is forgotten, with a tombstone; a failure, which is about a contact, in
time as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.membership_change import LONG_MAX
from schemas.topics import Topic, topic_name
from schemas.webhook import (
    FAILURE_KEY,
    REPLAY_KEY,
    WEBHOOK_KEY,
    WebhookFailureRecord,
    WebhookRecord,
    WebhookReplayRecord,
    failure_key,
    replay_key,
    webhook_key,
)
from segmentation.model import InstantMs
from services.runtime.errors import ServiceError
from services.runtime.following import Followed, Following, pass_by
from services.webhooks import metrics
from services.webhooks.failures import Failures
from services.webhooks.replays import Replays
from services.webhooks.settings import WebhookSettings

WEBHOOKS_MAX: Final = 100
"""Each has a consumer of its own."""
FAILURE_KEPT_MS: Final = 30 * 24 * 3_600_000
"""As long as a dead letter."""


class Registry(Followed):
    """Follows `webhooks` and appends to it. One a process; use `following`."""

    def __init__(self, settings: WebhookSettings, producer: Any) -> None:
        self._settings = settings
        self._producer = producer
        self._partition = TopicPartition(topic_name(settings.topic_prefix, Topic.WEBHOOKS), 0)
        self._webhooks: dict[str, WebhookRecord] = {}
        self._failures = Failures()
        self._replays = Replays()
        super().__init__(Following(settings, {self._partition: 0}, self._take))
        self.changed = asyncio.Event()
        """Set whenever a webhook came or went; whoever looks clears it."""

    @property
    def webhooks(self) -> Mapping[str, WebhookRecord]:
        """The webhooks there are, by id."""
        return MappingProxyType(self._webhooks)

    def failures(self, webhook_id: str) -> list[WebhookFailureRecord]:
        """The given-up deliveries of a webhook, newest first."""
        return self._failures.of(webhook_id)

    def failure(self, webhook_id: str, failure_id: str) -> WebhookFailureRecord | None:
        """One given-up delivery."""
        return self._failures.get(webhook_id, failure_id)

    async def create(self, webhook: WebhookRecord) -> WebhookRecord:
        """Add a webhook; the one that stands, which is another if that came first. Errors: ServiceError."""
        await self._append(webhook_key(webhook.id), webhook.encode())
        standing = self._webhooks.get(webhook.id, webhook)
        if standing != webhook:
            # The log keeps the newest of a key, so the one that stands must be it.
            await self._append(webhook_key(webhook.id), standing.encode())
        return standing

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook and what it could not deliver. Errors: ServiceError."""
        await self._append(webhook_key(webhook_id), None)
        for failure in self.failures(webhook_id):
            await self._append(failure_key(webhook_id, failure.failure_id), None)
        for failure_id in self._replays.of(webhook_id):
            await self._append(replay_key(webhook_id, failure_id), None)

    async def give_up(self, failure: WebhookFailureRecord) -> None:
        """Keep a delivery that was given up; if there are too many, forget older ones for it. Errors: ServiceError."""
        await self._append(failure_key(failure.webhook_id, failure.failure_id), failure.encode())
        await self._forget_surplus()

    async def resolve(self, failure: WebhookFailureRecord) -> None:
        """Forget a failure: it was delivered after all, or is too old. Errors: ServiceError."""
        await self._append(failure_key(failure.webhook_id, failure.failure_id), None)

    async def forget_old(self, now_ms: InstantMs) -> None:
        """Forget the failures that were kept long enough, those whose webhook is gone, and the surplus.

        Errors: ServiceError.

        Another process may have given up a delivery just when its webhook was deleted.
        """
        old = [
            failure
            for failure in self._failures
            if failure.webhook_id not in self._webhooks or now_ms - failure.failed_at >= FAILURE_KEPT_MS
        ]
        for failure in old:
            await self.resolve(failure)
        await self._forget_surplus()

    def replay(self, webhook_id: str, failure_id: str) -> WebhookReplayRecord | None:
        """The replay of a failure that stands: at work somewhere, or delivered."""
        return self._replays.get(webhook_id, failure_id)

    async def put_replay(self, replay: WebhookReplayRecord) -> WebhookReplayRecord:
        """Claim a replay, or say that it was delivered; the one that stands. Errors: ServiceError."""
        for failure_id in self._replays.too_many(replay.webhook_id, replay.claimed_at):
            await self._append(replay_key(replay.webhook_id, failure_id), None)
        await self._append(replay_key(replay.webhook_id, replay.failure_id), replay.encode())
        return self._replays.get(replay.webhook_id, replay.failure_id) or replay

    async def release(self, replay: WebhookReplayRecord) -> None:
        """Give a claim back: it was not delivered. Errors: ServiceError."""
        await self._append(replay_key(replay.webhook_id, replay.failure_id), None)

    def _take(self, _: TopicPartition, records: Sequence[Any], __: int) -> None:
        for record in records:
            try:
                self._apply(record.key.decode(), record.value)
            except (ValidationError, UnicodeDecodeError, ServiceError) as error:
                pass_by(record, error)
        metrics.FAILURES_KEPT.set(len(self._failures))

    def _apply(self, key: str, value: bytes | None) -> None:
        kind, _, name = key.partition("|")
        if f"{kind}|" == REPLAY_KEY:
            self._replays.apply(name, None if value is None else WebhookReplayRecord.decode(value))
            return
        if f"{kind}|" == FAILURE_KEY:
            self._failures.apply(name, None if value is None else _failure(value))
            if value is not None:
                self._replays.apply(name, None)  # given up anew
            return
        if f"{kind}|" != WEBHOOK_KEY:
            raise ServiceError("its key names no kind that there is")
        if value is None:
            self._webhooks.pop(name, None)
        else:
            self._webhooks.setdefault(name, _webhook(value))
        self.changed.set()

    async def _forget_surplus(self) -> None:
        """One after the other: each is gone from what is folded before the next is looked for."""
        while (surplus := self._failures.surplus()) is not None:
            await self._append(failure_key(*surplus), None)

    async def _append(self, key: bytes, value: bytes | None) -> None:
        topic = self._partition.topic
        try:
            async with asyncio.timeout(self._settings.webhooks_append_timeout_ms / 1000):
                written = await self._producer.send_and_wait(topic, value, key=key, partition=0)
                await self.passed(self._partition, written.offset)
        except (KafkaError, TimeoutError) as error:
            raise ServiceError("the broker did not take a record and give it back in time", topic=topic) from error


def _webhook(value: bytes) -> WebhookRecord:
    """The webhook that a record tells. Errors: pydantic's ValidationError; ServiceError if it begins at no offset."""
    webhook = WebhookRecord.decode(value)
    if webhook.start is not None and not all(0 <= offset <= LONG_MAX for offset in webhook.start.offsets):
        raise ServiceError("it begins at an offset that no broker gives")
    return webhook


def _failure(value: bytes) -> WebhookFailureRecord:
    """The failure that a record tells. Errors: pydantic's ValidationError; ServiceError if it cannot be shown."""
    failure = WebhookFailureRecord.decode(value)
    if failure.attempts > LONG_MAX:
        raise ServiceError("nobody makes so many attempts")
    try:
        orjson.loads(failure.body)
    except orjson.JSONDecodeError as error:
        raise ServiceError("what it says was sent is no JSON") from error
    return failure
