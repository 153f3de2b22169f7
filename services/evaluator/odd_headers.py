"""Batches with a header whose name is not UTF-8: a broker takes them, and the client library cannot read them.

A producer in C may give a header any bytes for a name. Such a record would end every start at the same offset, and with
it hold up all that is behind. Rule: everything is as the client reads it, only in such a name U+FFFD stands for what is
no text; batches without one are left to the client, which is many times quicker.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from services.evaluator.ports import InputRecord

BEGINNING = struct.Struct(">qi")
"""How every batch begins: its first offset, and how many bytes follow."""


class FetchedRecords(MemoryRecords):  # type: ignore[misc]  # the library ships no types
    """What the client makes of a fetch, together with the fetched bytes, which it would keep to itself."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched

    def leniently(self, base_offset: int) -> Iterable[InputRecord]:
        """The records of the batch that begins at this offset. Cost: some ten microseconds a record."""
        start = 0
        while (begin := BEGINNING.unpack_from(self.fetched, start))[0] != base_offset:
            start += BEGINNING.size + begin[1]
        batch: Any = iter(_DefaultRecordBatchPy(self.fetched[start : start + BEGINNING.size + begin[1]]))
        batch._buffer = _Lenient(batch._buffer)  # noqa: SLF001 - what the client reads names from, uncompressed now
        return batch  # type: ignore[no-any-return]  # the client's own iterator


class _Lenient(bytearray):
    """Bytes of which every part can be read as text."""

    def __getitem__(self, place: Any) -> Any:  # as of any bytes
        found = super().__getitem__(place)
        return _Lenient(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        """As text, with U+FFFD for what is none."""
        return super().decode(encoding, errors)


def keep_fetched_bytes() -> None:
    """Have every consumer of this process keep what it fetches until it is read."""
    fetcher.MemoryRecords = FetchedRecords
