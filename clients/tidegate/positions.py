"""Where a group stands in each partition: behind a change, or inside its first snapshot.

Rule: the end of a snapshot is fixed when it begins, and committed beside the position. So a consumer that is killed
inside its snapshot goes on to tell the same one, and then every change after it: nobody who was told as a member leaves
unnoticed in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

SNAPSHOT_MARK: Final = "snapshot-until:"
ADMIN_OPTIONS: Final = frozenset(
    {"security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password",
     "sasl_oauth_token_provider", "sasl_kerberos_service_name", "sasl_kerberos_domain_name", "request_timeout_ms"}
)  # fmt: skip
"""The options of a consumer that its connection needs, whatever it asks."""


@dataclass(frozen=True, slots=True)
class Standing:
    """From where to read, and up to where what is read belongs to the snapshot."""

    offset: int
    snapshot_until: int | None = None

    def encode(self) -> OffsetAndMetadata:
        """As it is committed."""
        mark = "" if self.snapshot_until is None else f"{SNAPSHOT_MARK}{self.snapshot_until}"
        return OffsetAndMetadata(self.offset, mark)

    @classmethod
    def decode(cls, committed: OffsetAndMetadata) -> Standing:
        """As it was committed. A mark that is not ours is a plain position."""
        mark = str(committed.metadata or "")
        until = mark.removeprefix(SNAPSHOT_MARK)
        if until == mark or not until.isdecimal():
            return cls(committed.offset)
        return cls(committed.offset, int(until))


async def committed_standings(
    bootstrap: str, group: str, places: Collection[TopicPartition], kafka: Mapping[str, Any]
) -> dict[TopicPartition, Standing]:
    """Where the group stands; partitions in which it has committed nothing are left out. Cost: one connection."""
    if not places:
        return {}
    options = {name: value for name, value in kafka.items() if name in ADMIN_OPTIONS}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **options)
    try:
        await admin.start()
        found = await admin.list_consumer_group_offsets(group, partitions=list(places))
    finally:
        await admin.close()
    return {place: Standing.decode(committed) for place, committed in found.items() if committed.offset >= 0}
