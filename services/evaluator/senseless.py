"""Rows of a changelog that make no sense, because somebody else wrote them, and the refusal that names one.

Rule: what such a row should have said is never guessed. A later row of its key makes good for it; where none comes the
start is refused, and the store's place in the changelog stays before it, so that the next start finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from schemas.codec import decode_contact
from schemas.control_rows import (
    CLOCK_KEY,
    CURSOR_KEY,
    ClockRow,
    CursorRow,
    DefinitionRow,
    definition_key,
    is_definition_key,
)
from schemas.topics import Topic
from segmentation.model import ContactState
from services.evaluator import rows
from services.evaluator.ports import InputRecord
from services.runtime.errors import StartRefusedError

SENSELESS = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What reading a row that we did not write raises."""
SENSELESS_MAX = 1_000
"""Rows of one partition that may wait for later ones; with more the start is refused at once."""


class SenselessRows:
    """Those of one partition for which nothing has made good yet."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._found: dict[tuple[Topic, bytes], StartRefusedError] = {}

    def add(self, topic: Topic, record: InputRecord, error: Exception) -> None:
        """Take note of one. Errors: `StartRefusedError` if there are too many."""
        refusal = senseless(topic, self._partition, record, error)
        self._found[topic, record.key or b""] = refusal
        if len(self._found) > SENSELESS_MAX:
            raise refusal from error

    def replaced(self, topic: Topic, keys: Iterable[bytes]) -> None:
        """Later records of these keys were read."""
        if self._found:
            for key in keys:
                self._found.pop((topic, key), None)

    def hold_back(self, topic: Topic) -> bool:
        """Whether the store must not move on in this changelog."""
        return any(found is topic for found, _ in self._found)

    def refuse(self) -> None:
        """The changelogs have been read to their ends. Errors: `StartRefusedError` if a row is left."""
        for refusal in self._found.values():
            raise refusal


def senseless(topic: Topic, partition: int, record: InputRecord, error: Exception) -> StartRefusedError:
    """The refusal of a start that names one row."""
    return StartRefusedError(
        _told(topic, record.key or b"", _why(error)), topic=topic, partition=partition, offset=record.offset
    )


def senseless_row(topic: Topic, partition: int, key: bytes, why: str) -> StartRefusedError:
    """The same of a row that can be read and cannot stand beside the others, wherever in the topic it stands."""
    return StartRefusedError(_told(topic, key, why), topic=topic, partition=partition)


def read_contact(row: bytes) -> ContactState:
    """A contact's row, of which what recovery asks for has the right type. Errors: one of `SENSELESS`."""
    contact = decode_contact(row)
    if contact.due is not None:
        rows.raw_due_key(contact.due, b"")
    if any(number.__class__ is not int for number in contact.position):
        raise ValueError("its place in the log is not three whole numbers")
    for since in contact.members.values():
        b"%d" % since
    contact.attributes.items()
    return contact


def check_control(key: bytes, row: bytes) -> None:
    """Read a control row. Errors: one of `SENSELESS`."""
    if key == CLOCK_KEY:
        clock = ClockRow.decode(row)
        rows.due_through(clock.clock)
        if clock.offset < 0:
            raise ValueError(f"the next record to read cannot be that at {clock.offset}")
    elif key == CURSOR_KEY:
        CursorRow.decode(row)
    elif is_definition_key(key):
        definition = DefinitionRow.decode(row).definition
        if key != definition_key(definition.segment_id, definition.version):
            raise ValueError(f"it is of segment {definition.segment_id} version {definition.version}")


def _told(topic: Topic, key: bytes, why: str) -> str:
    whose = "contact" if topic is Topic.CONTACTS_CHANGELOG else "key"
    return (
        f"{topic} holds a record without sense for {whose} {key.decode(errors='replace')!r} ({why}), which somebody "
        f"else wrote: append to this partition the row that this {whose} had, which the topic holds before it until "
        f"the broker compacts it, or, if there is no such {whose}, a record of this key without a value, and start "
        "again. Where that row is nowhere any more, build everything again from the input log: delete the local state, "
        "both changelogs and the consumer group's offsets together"
    )


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"])
    return f"it has no field {error}" if isinstance(error, KeyError) else str(error)
