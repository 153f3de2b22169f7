"""What every record says of itself in its headers: CloudEvents 1.0, in the binary form of its Kafka binding.

Rule: type and source are fixed for each kind of record, the id is the record's own: what is written again has the same
one. On input all of it is optional but the type of a record that is no contact change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.contact_change import CONTACT_CHANGED
from schemas.membership_change import MEMBERSHIP_CHANGED
from schemas.segment_definition import SEGMENT_DEFINED
from schemas.tick import TICK

Headers = Sequence[tuple[str, bytes]]

TYPE_HEADER: Final = "ce_type"
SPEC_VERSION_HEADER: Final = "ce_specversion"
SOURCE_HEADER: Final = "ce_source"
EVENT_ID_HEADER: Final = "ce_id"
SPEC_VERSION: Final = b"1.0"


def _kind(event_type: str, source: str) -> list[tuple[str, bytes]]:
    return [
        (TYPE_HEADER, event_type.encode()),
        (SPEC_VERSION_HEADER, SPEC_VERSION),
        (SOURCE_HEADER, f"/tidegate/{source}".encode()),
    ]


CONTACT_CHANGED_HEADERS: Final = _kind(CONTACT_CHANGED, "ingest")
TICK_HEADERS: Final = _kind(TICK, "scheduler")
SEGMENT_DEFINED_HEADERS: Final = _kind(SEGMENT_DEFINED, "scheduler")
MEMBERSHIP_CHANGED_HEADERS: Final = _kind(MEMBERSHIP_CHANGED, "evaluator")


def identified(kind: Headers, event_id: str) -> list[tuple[str, bytes]]:
    """The headers of one record of a kind."""
    return [*kind, (EVENT_ID_HEADER, event_id.encode())]
