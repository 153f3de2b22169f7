"""`dead-letters`: records that could not be evaluated, with their key, value and headers unchanged.

Rule: the reason and the origin are headers, so that a replay is the record itself without them.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.record import Record

ERROR_CODE = "error.code"
ERROR_MESSAGE = "error.message"
SOURCE_TOPIC = "source.topic"
SOURCE_PARTITION = "source.partition"
SOURCE_OFFSET = "source.offset"
VALUE_LEFT_OUT = "error.value_left_out"
"""How many bytes the value had, when the record was too large for this topic: the dead letter's null is no tombstone
then. Of a key or of headers that were too large by themselves, only a part is there."""
_OURS = frozenset({ERROR_CODE, ERROR_MESSAGE, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, VALUE_LEFT_OUT})
REPLAYED_FROM = "tidegate.replayed_from"
"""On the record that a replay writes: `partition:offset` of the dead letter."""
ERROR_MESSAGE_CHARACTERS_MAX = 4_000

UNKNOWN = -1
NUMBER_DIGITS_MAX = 18
"""A broker gives no larger offset, and no record has more bytes."""

Headers = Sequence[tuple[str, bytes]]


class DeadLetterHeaders(Record):
    """What the headers of a dead letter say."""

    code: str
    message: str
    topic: str
    partition: int
    offset: int
    value_left_out: int | None = None

    def added_to(self, headers: Headers) -> list[tuple[str, bytes]]:
        """The headers of the dead letter of a record with `headers`."""
        left_out = [] if self.value_left_out is None else [(VALUE_LEFT_OUT, b"%d" % self.value_left_out)]
        return [
            *headers,
            *left_out,
            (ERROR_CODE, self.code.encode()),
            (ERROR_MESSAGE, self.message[:ERROR_MESSAGE_CHARACTERS_MAX].encode(errors="replace")),
            (SOURCE_TOPIC, self.topic.encode()),
            (SOURCE_PARTITION, b"%d" % self.partition),
            (SOURCE_OFFSET, b"%d" % self.offset),
        ]

    @classmethod
    def read_from(cls, headers: Headers) -> DeadLetterHeaders:
        """Read the headers of a dead letter. A record that died twice tells its last death; what is not said is -1."""
        said = {name: value.decode(errors="replace") for name, value in headers}
        return cls(
            code=said.get(ERROR_CODE, "unknown"),
            message=said.get(ERROR_MESSAGE, ""),
            topic=said.get(SOURCE_TOPIC, ""),
            partition=_number(said.get(SOURCE_PARTITION, "")),
            offset=_number(said.get(SOURCE_OFFSET, "")),
            value_left_out=_number(said[VALUE_LEFT_OUT]) if VALUE_LEFT_OUT in said else None,
        )


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers that the record had before it died."""
    return [(name, value) for name, value in headers if name not in _OURS]


def _number(text: str) -> int:
    """A partition or offset; a stranger's header may say anything."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= NUMBER_DIGITS_MAX else UNKNOWN
