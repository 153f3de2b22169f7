"""Batches that a broker takes and the library cannot read: they would end every reading at the same offset, for ever.

One kind has a header whose name is not UTF-8, as a producer in C may write it; the other unpacks to more than may be
unpacked. Rule: everything is as the library reads it, only in such a name U+FFFD stands for what is no text, and in the
place of such a batch stands one record that says so, which is no record of anybody's; other batches are left to the
library, which is many times quicker.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from tidegate.kafka.unpacking import UNPACKED_BYTES_MAX, TooLargeError

BEGINNING = struct.Struct(">qi")
"""How every batch begins: its first offset, and how many bytes follow."""

log = logging.getLogger("tidegate.kafka")


class Records:
    """What was fetched, batch by batch: the library's, but for the batches."""

    __slots__ = ("_fetched", "_records")

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._records = MemoryRecords(fetched)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def next_batch(self) -> Any:
        """The next batch; None behind the last. Those of before Kafka 0.11 have no headers."""
        batch = self._records.next_batch()
        return Batch(batch, self._fetched) if isinstance(batch, DefaultRecordBatch) else batch


class Batch:
    """A batch of the library's, whose records can be read in any case."""

    __slots__ = ("_batch", "_fetched")

    def __init__(self, batch: Any, fetched: bytes) -> None:
        self._batch = batch
        self._fetched = fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """The records. Cost: what the library takes; of a batch with such a name some ten microseconds a record."""
        try:
            return iter([*self._batch])
        except UnicodeDecodeError:
            return self._leniently()
        except TooLargeError:
            return iter([self._in_its_place()])

    def _in_its_place(self) -> Any:
        """A record at the batch's last offset, so that whoever reads from within it meets it too."""
        batch = self._batch
        first, last = batch.base_offset, batch.next_offset - 1
        told = f"the batch of offsets {first} to {last} unpacks to more than {UNPACKED_BYTES_MAX} bytes and is not read"
        log.error(told)
        return DefaultRecord(last, batch.max_timestamp, batch.timestamp_type, b"", told.encode(), [])

    def _leniently(self) -> Iterator[Any]:
        start = 0
        while (begin := BEGINNING.unpack_from(self._fetched, start))[0] != self._batch.base_offset:
            start += BEGINNING.size + begin[1]
        batch: Any = iter(_DefaultRecordBatchPy(self._fetched[start : start + BEGINNING.size + begin[1]]))
        batch._buffer = _Lenient(batch._buffer)  # noqa: SLF001 - it reads names from there, and offers no other place
        yield from batch


class _Lenient(bytearray):
    """Bytes of which every part can be read as text."""

    def __getitem__(self, place: Any) -> Any:  # as of any bytes
        found = super().__getitem__(place)
        return _Lenient(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        """As text, with U+FFFD for what is none."""
        return super().decode(encoding, errors)


def use_records() -> None:
    """Make the library read what it fetches by it from now on, unless the program has put one of its own in place."""
    if fetcher.MemoryRecords is MemoryRecords:
        fetcher.MemoryRecords = Records
