"""Follows `memberships` for one webhook and delivers what it wants, in order per contact.

Rule: a position is committed only when everything before it was delivered or kept as given up. A partition's deliveries
are made one after another, partitions side by side. Partitions change hands only between rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from schemas.groups import WEBHOOK_GROUPS, group_name
from schemas.membership_change import MembershipChangeRecord
from schemas.topics import Topic, topic_name
from schemas.webhook import WebhookFailureRecord, WebhookRecord, WebhookStart
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.following import count_from_zero, readable
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.webhooks.deliveries import Delivery, Read, batch
from services.webhooks.registry import Registry
from services.webhooks.sender import Sender, StoppedError
from services.webhooks.settings import WebhookSettings

RECORDS_PER_ROUND_MAX: Final = 200
"""What is read at once, and so about what a crash repeats."""
POLL_TIMEOUT_MS: Final = 500
ROUND_S_MAX: Final = 120.0
"""After this long no further delivery of a round is begun: the rest is read again in the next."""
ROUND_MARGIN_S: Final = 600.0
"""What the broker may take beside, for what is given up and for the commit."""
RECONNECT_S: Final = 2.0

log = get_logger("follower")


def group_of(settings: WebhookSettings, webhook: WebhookRecord) -> str:
    """The consumer group that remembers how far a webhook has come: of this one alone, also if its id was another's."""
    life = "" if webhook.life is None else f"-{webhook.life}"
    return group_name(settings.topic_prefix, f"{WEBHOOK_GROUPS}{webhook.id}{life}")


def poll_interval_max_ms(settings: WebhookSettings) -> int:
    """Longer than a round and all attempts of its last deliveries can take, so the group does not think us dead.

    It would have another process begin what is still under way here, and a contact's changes arrive in another order.
    """
    attempts_ms = settings.webhook_attempts_max * (settings.webhook_timeout_ms + settings.webhook_wait_max_ms)
    return int((ROUND_S_MAX + ROUND_MARGIN_S) * 1000) + attempts_ms


async def present_end(settings: WebhookSettings) -> WebhookStart:
    """Where a webhook begins that is made now: behind everything that is committed. Errors: ServiceError."""
    topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
    places = [TopicPartition(topic, partition) for partition in range(settings.partitions)]
    consumer = AIOKafkaConsumer(group_id=None, isolation_level="read_committed", **client_options(settings))
    try:
        async with asyncio.timeout(settings.webhooks_append_timeout_ms / 1000):
            await consumer.start()
            ends = await consumer.end_offsets(places)
    except (KafkaError, OSError) as error:
        raise ServiceError("where the membership changes end cannot be read", topic=topic) from error
    finally:
        await consumer.stop()
    return WebhookStart(topic=topic, offsets=[ends[place] for place in places])


class Follower:
    """One webhook at work in this process."""

    def __init__(self, webhook: WebhookRecord, settings: WebhookSettings, registry: Registry) -> None:
        self.webhook = webhook
        self._settings = settings
        self._registry = registry
        self._topic = topic_name(settings.topic_prefix, Topic.MEMBERSHIPS)
        self._segments = None if webhook.segments is None else frozenset(webhook.segments)
        self._stopping = asyncio.Event()
        self._sender = Sender(webhook, settings, self._stopping)
        self._held: dict[TopicPartition, tuple[Read, ...]] = {}
        """What was read of a delivery whose last changes were not, by partition. Its position is before them."""
        self.round = asyncio.Lock()
        count_from_zero(self._topic)
        self._replays: set[asyncio.Future[None]] = set()
        """One for each under way."""

    async def run(self) -> None:
        """Deliver until stopped, and connect again for as long as the broker is away."""
        try:
            while not self._stopping.is_set():
                try:
                    await self._connected()
                except (KafkaError, ServiceError, OSError) as error:
                    log.warning("the broker is away; reconnecting", webhook=self.webhook.id, error=repr(error))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), RECONNECT_S)
        finally:
            if self._replays:
                await asyncio.wait(self._replays)
            await self._sender.close()

    def stop(self) -> None:
        """Finish the attempts in hand and end; what was not delivered will be, after the next start."""
        self._stopping.set()

    async def replay(self, failure: WebhookFailureRecord) -> str | None:
        """Try a given-up delivery once more, once. Gives the reason if it failed again. Errors: StoppedError."""
        if self._stopping.is_set():
            raise StoppedError
        ended = asyncio.get_running_loop().create_future()
        self._replays.add(ended)
        try:
            outcome = await self._sender.deliver(failure.delivery_id, failure.body.encode(), attempts_max=1)
        finally:
            self._replays.remove(ended)
            ended.set_result(None)
        return outcome.reason

    async def _connected(self) -> None:
        consumer = AIOKafkaConsumer(
            group_id=group_of(self._settings, self.webhook),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_poll_interval_ms=poll_interval_max_ms(self._settings),
            **client_options(self._settings),
        )
        self._held.clear()
        consumer.subscribe([self._topic], listener=_BetweenRounds(self.round, self._held))
        try:
            await consumer.start()
            while not self._stopping.is_set():
                # Outside the round: while partitions change hands, reading waits for the new ones, and they wait for
                # the round. What was read still is ours, because nothing else runs before the round is entered.
                try:
                    fetched = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=RECORDS_PER_ROUND_MAX)
                except NoOffsetForPartitionError as error:
                    async with self.round:
                        await self._begin(consumer, error.args[0])
                    continue
                except OffsetOutOfRangeError as error:
                    for place in error.args[0]:
                        self._held.pop(place, None)
                    await consumer.seek_to_beginning(*error.args[0])
                    continue
                async with self.round:
                    await self._one_round(consumer, fetched)
        finally:
            await consumer.stop()

    async def _begin(self, consumer: Any, place: TopicPartition) -> None:
        """Start a partition that the group has no offset of where the webhook's record says, and have it noted."""
        start = self.webhook.start
        known = start is not None and start.topic == place.topic and place.partition < len(start.offsets)
        try:
            if start is not None and known:
                consumer.seek(place, start.offsets[place.partition])
            else:
                await consumer.seek_to_beginning(place)
            await consumer.commit({place: await consumer.position(place)})
        except (CommitFailedError, IllegalStateError):
            log.info("the group has moved on; its new member begins there", webhook=self.webhook.id)

    async def _one_round(self, consumer: Any, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        until = clock.monotonic() + ROUND_S_MAX
        places = [*fetched, *await self._ended(consumer, fetched)]
        if not places:
            return
        # Where one partition fails the others still end first: what went on beside the next round would cut into it.
        deliveries = (self._deliver(place, fetched.get(place, ()), until) for place in places)
        ended = dict(zip(places, await asyncio.gather(*deliveries, return_exceptions=True), strict=True))
        await self._commit(consumer, fetched, {place: end for place, end in ended.items() if isinstance(end, int)})
        for end in ended.values():
            if isinstance(end, BaseException):
                raise end

    async def _commit(
        self, consumer: Any, fetched: Mapping[TopicPartition, Sequence[Any]], ends: dict[TopicPartition, int]
    ) -> None:
        """Note where each partition resumes."""
        try:
            for place, end in ends.items():
                is_short = place not in fetched or end <= fetched[place][-1].offset
                if is_short and place not in self._held:
                    consumer.seek(place, end)
            if ends:
                await consumer.commit(ends)
        except (CommitFailedError, IllegalStateError):
            log.warning("the group has moved on; its new member repeats this round", webhook=self.webhook.id)

    async def _ended(self, consumer: Any, fetched: Mapping[TopicPartition, Sequence[Any]]) -> list[TopicPartition]:
        """The partitions of which something is held and nothing follows."""
        quiet = [place for place in self._held if place not in fetched]
        if not quiet:
            return []
        ends = await consumer.end_offsets(quiet)
        return [place for place in quiet if await consumer.position(place) >= ends[place]]

    async def _deliver(self, place: TopicPartition, records: Sequence[Any], until: float) -> int:
        """Deliver one partition's records behind what is held of it; where to resume."""
        read = [Read(record.offset, readable(record, MembershipChangeRecord.decode)) for record in records]
        work = batch([*self._held.pop(place, ()), *read], self._segments, at_end=not read)
        for delivery in work.deliveries:
            if self._stopping.is_set() or clock.monotonic() > until:
                return delivery.first_offset
            try:
                outcome = await self._sender.deliver(delivery.id, delivery.body)
            except StoppedError:
                return delivery.first_offset
            if outcome.reason is not None:
                await self._give_up(delivery, outcome.attempts, outcome.reason)
        if work.held:
            self._held[place] = work.held
        return work.resume_at

    async def _give_up(self, delivery: Delivery, attempts: int, reason: str) -> None:
        """Keep it, unless the webhook was deleted meanwhile: what was its own is then nobody's to see."""
        if self._registry.webhooks.get(self.webhook.id) != self.webhook:
            return
        log.warning("delivery given up", webhook=self.webhook.id, delivery=delivery.failure_id, reason=reason)
        await self._registry.give_up(
            WebhookFailureRecord(
                webhook_id=self.webhook.id,
                failure_id=delivery.failure_id,
                delivery_id=delivery.id,
                contact_id=delivery.contact_id,
                failed_at=clock.now_ms(),
                attempts=attempts,
                reason=reason,
                body=delivery.body.decode(),
            )
        )


class _BetweenRounds(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no type information
    """Lets partitions go only when no delivery of theirs is under way, so that two processes never interleave."""

    def __init__(self, running: asyncio.Lock, held: dict[TopicPartition, tuple[Read, ...]]) -> None:
        self._running = running
        self._held = held

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the round in hand; what is held is read again by whoever gets its partition."""
        if revoked:
            async with self._running:
                self._held.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing to do: reading begins where the group stands."""
