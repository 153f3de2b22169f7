"""The broker as an operator's command sees it: topics and their settings, ends, groups, and whole committed reads.

Rule: reads committed records only and joins no group. A topic's settings are changed one by one although the request
replaces them all: those that the topic has of its own are sent again. It knows no segments and decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import OffsetAndMetadata

from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import UNKNOWN_TOPIC, create_topics

OWN_SETTING = 1
"""Kafka's mark of a setting that was made on the topic itself."""
NOTE_PARTITION = 0
READ_RECORDS_MAX = 5_000
READ_POLL_MS = 20
FETCH_WAIT_MS = 50
SILENT_S = 60.0
"""For so long a broker that starts anew, or elects, may give nothing of what it has."""


class Shape(NamedTuple):
    """How many partitions a topic has, and how many replicas each."""

    partitions: int
    replicas: int


class Broker:
    """One connection for administration; each read opens a consumer of its own. Use `connected`."""

    def __init__(self, admin: AIOKafkaAdminClient, client: Mapping[str, Any]) -> None:
        self._admin = admin
        self.client = client

    async def shapes(self, names: Collection[str]) -> dict[str, Shape]:
        """The topics that exist."""
        described: list[dict[str, Any]] = await self._admin.describe_topics(list(names))
        found = {topic["topic"]: topic["partitions"] for topic in described if topic["error_code"] == 0}
        wrong = [topic for topic in described if topic["error_code"] not in (0, UNKNOWN_TOPIC)]
        if wrong:
            raise ServiceError(f"the broker answered error {wrong[0]['error_code']}", topic=wrong[0]["topic"])
        return {name: Shape(len(each), len(each[0]["replicas"])) for name, each in found.items() if each}

    async def create(self, topics: Mapping[str, tuple[Shape, Mapping[str, str]]]) -> None:
        """Create topics with settings and wait until they show."""
        if not topics:
            return
        new = [
            NewTopic(name, shape.partitions, shape.replicas, topic_configs=dict(settings))
            for name, (shape, settings) in topics.items()
        ]
        await create_topics(self._admin, new)

    async def own_settings(self, name: str) -> dict[str, str]:
        """The settings that were made on the topic itself."""
        answers = await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        entries = answers[0].to_object()["resources"][0]["config_entries"]
        return {e["config_names"]: e["config_value"] for e in entries if e["config_source"] == OWN_SETTING}

    async def change_settings(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Set some settings of a topic, or take them back to the broker's default (None)."""
        settings: dict[str, str | None] = {**await self.own_settings(name), **changes}
        kept = {setting: value for setting, value in settings.items() if value is not None}
        answers = await self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, kept)])
        for resource in answers[0].to_object()["resources"]:
            if resource["error_code"] != 0:
                raise ServiceError(f"the broker refused its settings: {resource['error_message']}", topic=name)

    async def groups(self) -> list[str]:
        """Every consumer group."""
        return sorted(group for group, _kind in await self._admin.list_consumer_groups())

    async def members_of(self, group: str) -> int:
        """How many members a group has now."""
        described = (await self._admin.describe_consumer_groups([group]))[0].to_object()
        return sum(len(each["members"]) for each in described["groups"])

    async def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """A group's committed offsets on a topic, by partition."""
        found = await self._admin.list_consumer_group_offsets(group)
        return {at.partition: kept.offset for at, kept in found.items() if at.topic == topic and kept.offset >= 0}

    async def commit_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Put a group without members at offsets."""
        await self._commit(
            group, {TopicPartition(topic, each): OffsetAndMetadata(offset, "") for each, offset in offsets.items()}
        )

    async def note(self, group: str, topic: str) -> str:
        """What was written down last under a group's name, beside a topic; empty if nothing."""
        found = await self._admin.list_consumer_group_offsets(group)
        return next((str(kept.metadata) for at, kept in found.items() if at.topic == topic), "")

    async def write_note(self, group: str, topic: str, text: str) -> None:
        """Write a short text down under a group's name, beside a topic, for a later command to read."""
        await self._commit(group, {TopicPartition(topic, NOTE_PARTITION): OffsetAndMetadata(0, text)})

    async def _commit(self, group: str, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        consumer = AIOKafkaConsumer(**self.client, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(list(offsets))
            await consumer.commit(dict(offsets))
        finally:
            await consumer.stop()

    async def ends(self, topic: str, partitions: int) -> dict[int, int]:
        """The offset after the last stable record of each partition."""
        async with self.reader() as consumer:
            found = await consumer.end_offsets([TopicPartition(topic, each) for each in range(partitions)])
        return {at.partition: offset for at, offset in found.items()}

    async def undecided(self, topic: str, partitions: int) -> list[int]:
        """The partitions on which a transaction is open, or ended and not yet marked as such."""
        decided = await self.ends(topic, partitions)
        async with self.reader("read_uncommitted") as consumer:
            found = await consumer.end_offsets([TopicPartition(topic, each) for each in range(partitions)])
        return sorted(at.partition for at, offset in found.items() if offset > decided[at.partition])

    async def starts(self, topic: str, partitions: int) -> dict[int, int]:
        """The first offset of each partition."""
        async with self.reader() as consumer:
            found = await consumer.beginning_offsets([TopicPartition(topic, each) for each in range(partitions)])
        return {at.partition: offset for at, offset in found.items()}

    async def unread(self, topic: str, offsets: Mapping[int, int]) -> dict[int, int]:
        """The partitions that hold a committed record at or after an offset, with how far they go beyond it."""
        if not offsets:
            return {}
        ends = await self.ends(topic, max(offsets) + 1)
        behind = {partition: ends[partition] - offset for partition, offset in offsets.items()}
        found: dict[int, int] = {}
        for partition in (each for each, left in behind.items() if left > 0):
            # What is left may be nothing but the marker of a transaction.
            async with aclosing(self.read(topic, {partition: offsets[partition]}, 1)) as chunks:
                async for _, records, _ in chunks:
                    if records:
                        found[partition] = behind[partition]
                        break
        return found

    async def read(
        self, topic: str, starts: Mapping[int, int], records_max: int = READ_RECORDS_MAX
    ) -> AsyncGenerator[tuple[int, Sequence[Any], int]]:
        """Every committed record from `starts` to the end as it is now. Shape: partition, records, the next offset.

        Errors: `ServiceError` when nothing came for `SILENT_S`, as of a broker that is away: the client asks for ever.
        """
        async with self.reader() as consumer:
            places = {TopicPartition(topic, partition): offset for partition, offset in starts.items()}
            first = await consumer.beginning_offsets(list(places))
            ends = await consumer.end_offsets(list(places))
            open_ends = {at: ends[at] for at, offset in places.items() if max(offset, first[at]) < ends[at]}
            consumer.assign(list(open_ends))
            for at in open_ends:
                consumer.seek(at, max(places[at], first[at]))
            stood: dict[TopicPartition, int] = {}
            came = clock.monotonic()
            while open_ends:
                fetched = await consumer.getmany(*open_ends, timeout_ms=READ_POLL_MS, max_records=records_max)
                for at, records in fetched.items():
                    yield at.partition, records, records[-1].offset + 1
                stands = {at: await consumer.position(at) for at in open_ends}
                for at in [at for at in open_ends if at not in fetched]:
                    if stands[at] >= open_ends[at]:
                        yield at.partition, (), open_ends.pop(at)
                        consumer.pause(at)
                if stands != stood:
                    stood, came = stands, clock.monotonic()
                elif clock.monotonic() - came > SILENT_S:
                    raise ServiceError(
                        f"the broker gave nothing more for {SILENT_S:.0f} s: look whether it is up, and repeat",
                        topic=topic,
                    )

    @asynccontextmanager
    async def reader(self, isolation: str = "read_committed") -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer in no group."""
        consumer = AIOKafkaConsumer(
            **self.client,
            enable_auto_commit=False,
            isolation_level=isolation,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def connected(settings: RuntimeSettings) -> AsyncIterator[Broker]:
    """Connect as the settings say. Errors: `ServiceError`."""
    client = client_options(settings)
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await admin.close()
        raise ServiceError(f"no Kafka broker answers at {settings.kafka_bootstrap}: {error}") from error
    try:
        yield Broker(admin, client)
    except KafkaError as error:
        raise ServiceError(_in_words(settings.kafka_bootstrap, error)) from error
    finally:
        await admin.close()


def _in_words(bootstrap: str, error: KafkaError) -> str:
    if error.retriable or isinstance(error, KafkaTimeoutError):
        return f"Kafka at {bootstrap} answers no more ({error}): look whether it is up, and repeat"
    reason = getattr(error, "description", "")
    return f"Kafka at {bootstrap} refused a request ({error}){reason and f': {reason}'}"
