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
_OURS = frozenset({ERROR_CODE, ERROR_MESSAGE, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET})
ERROR_MESSAGE_CHARACTERS_MAX = 4_000

Headers = Sequence[tuple[str, bytes]]


class DeadLetterHeaders(Record):
    """What the headers of a dead letter say."""

    code: str
    message: str
    topic: str
    partition: int
    offset: int

    def added_to(self, headers: Headers) -> list[tuple[str, bytes]]:
        """The headers of the dead letter of a record with `headers`."""
        return [
            *headers,
            (ERROR_CODE, self.code.encode()),
            (ERROR_MESSAGE, self.message[:ERROR_MESSAGE_CHARACTERS_MAX].encode(errors="replace")),
            (SOURCE_TOPIC, self.topic.encode()),
            (SOURCE_PARTITION, b"%d" % self.partition),
            (SOURCE_OFFSET, b"%d" % self.offset),
        ]

    @classmethod
    def read_from(cls, headers: Headers) -> DeadLetterHeaders:
        """Read the headers of a dead letter. A record that died twice tells its last death."""
        said = {name: value.decode(errors="replace") for name, value in headers}
        return cls(
            code=said.get(ERROR_CODE, "unknown"),
            message=said.get(ERROR_MESSAGE, ""),
            topic=said.get(SOURCE_TOPIC, ""),
            partition=int(said.get(SOURCE_PARTITION, "-1")),
            offset=int(said.get(SOURCE_OFFSET, "-1")),
        )


def original_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers that the record had before it died."""
    return [(name, value) for name, value in headers if name not in _OURS]
