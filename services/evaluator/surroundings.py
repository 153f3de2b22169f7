"""What an owner of partitions finds around it: producers, changelogs, committed positions, disks and clocks.

Rule: everything that an owner reaches outside its own memory is reached through `Surroundings`, so that the simulation
runs the real owner in a world where each of these fails. The real ones are made here, once a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from segmentation.model import InstantMs
from services.evaluator.kafka_log import KafkaChangelogs, KafkaTransactionalLog, TopicNamer
from services.evaluator.measures import measure_stores
from services.evaluator.pace import Pace
from services.evaluator.ports import Changelogs, LogError, TransactionalLog, Undecided
from services.evaluator.quarantine import Opened, open_store
from services.evaluator.store import MEMORY_BYTES, StoreMemory
from services.runtime import clock


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the partitions live: the group, the topics, the disk."""

    group: str
    partitions: int
    topic_name: TopicNamer
    client: Mapping[str, Any]
    state_dir: Path
    pace: Pace = field(default_factory=Pace)
    store_memory_bytes: int = MEMORY_BYTES


class OwnedLog(TransactionalLog, Undecided, Protocol):
    """A transactional log that is not ours yet."""

    async def start(self) -> None:
        """Connect and fence every former owner."""


class ChangelogReader(Changelogs, Protocol):
    """Changelogs behind a connection."""

    async def start(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect."""


class Surroundings(Protocol):
    """The world of one process."""

    def log(self, partition: int) -> OwnedLog:
        """A new producer for a partition; nothing is sent before it is started."""

    def changelogs(self) -> ChangelogReader:
        """A new reader of changelogs."""

    async def positions(self) -> dict[int, int]:
        """The input offsets that the group has committed, by partition."""

    async def open_store(self, partition: int) -> Opened:
        """Open a partition's store, or begin it anew. Runs to its end even when nobody waits for it any more."""

    def now_ms(self) -> InstantMs:
        """The wall clock, which evaluation never sees."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class KafkaSurroundings:
    """The broker and the disks that a workspace names."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._memory = StoreMemory(workspace.store_memory_bytes)
        measure_stores(self._memory)

    def log(self, partition: int) -> OwnedLog:
        """A transactional producer; its id is the group and the partition."""
        workspace = self._workspace
        return KafkaTransactionalLog(
            partition,
            input_topic=workspace.topic_name(Topic.CONTACT_CHANGES),
            group=workspace.group,
            topic_name=workspace.topic_name,
            client=workspace.client,
        )

    def changelogs(self) -> ChangelogReader:
        """A consumer without a group."""
        return KafkaChangelogs(self._workspace.topic_name, self._workspace.client)

    async def positions(self) -> dict[int, int]:
        """Ask the group's coordinator."""
        workspace = self._workspace
        input_topic = workspace.topic_name(Topic.CONTACT_CHANGES)
        admin = AIOKafkaAdminClient(**workspace.client)
        try:
            await admin.start()
            offsets = await admin.list_consumer_group_offsets(workspace.group)
        except KafkaError as error:
            raise LogError(f"cannot ask what the group {workspace.group} has committed: {error!r}") from error
        finally:
            await admin.close()
        return {
            at.partition: committed.offset
            for at, committed in offsets.items()
            if at.topic == input_topic and committed.offset >= 0
        }

    async def open_store(self, partition: int) -> Opened:
        """Open RocksDB in a thread: a large log of writes takes its time to be read."""
        path = self._workspace.state_dir / str(partition)
        return await asyncio.to_thread(open_store, path, self._memory, clock.now_ms())

    def now_ms(self) -> InstantMs:
        """The machine's clock."""
        return clock.now_ms()

    def monotonic(self) -> float:
        """The machine's clock."""
        return clock.monotonic()
