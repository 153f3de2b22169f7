"""Reads `dead-letters` backwards: the newest page of all partitions, and one letter by its place.

Rule: one order over all partitions, newest first, in which a cursor is a place; a read is bounded in offsets, bytes
kept and time, whatever the topic holds. What must not happen here: keeping letters between two requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.errors import KafkaError

from schemas.dead_letter import DeadLetterHeaders, original_headers
from schemas.topics import Topic, topic_name
from services.console.log import TopicLog, open_log
from services.console.problems import not_ready
from services.console.settings import ConsoleSettings

VALUE_SHOWN_BYTES_MAX: Final = 4 * 1024
"""What a list shows of a value. The single read has all of it."""
SCANNED_OFFSETS_MAX: Final = 20_000
"""A search for a rare code goes on from here with the next page."""
CHUNK_OFFSETS_MIN: Final = 64
CHUNK_OFFSETS_MAX: Final = 2_048
READERS_MAX: Final = 4
READ_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `value` may be only its beginning, or left out; `value_bytes` is its whole size."""

    partition: int
    offset: int
    at_ms: int
    said: DeadLetterHeaders
    key: bytes | None
    value: bytes | None
    value_bytes: int
    headers: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, record: Any, value_bytes_max: int | None = None) -> DeadLetter:
        """The letter that a record is, with at most so much of its value."""
        value: bytes | None = record.value
        headers = [(name, b"" if content is None else content) for name, content in record.headers]
        said = DeadLetterHeaders.read_from(headers)
        return cls(
            partition=record.partition,
            offset=record.offset,
            at_ms=record.timestamp,
            said=said,
            key=record.key,
            value=None if value is None else bytes(value[:value_bytes_max]),
            value_bytes=max(0, said.value_left_out or 0) if value is None else len(value),
            headers=tuple(original_headers(headers)),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, newest first. `below` is where the next page begins, by partition; None when this is the last."""

    letters: list[DeadLetter]
    below: Mapping[int, int] | None


class DeadLetterLog:
    """The topic, read anew by each request."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings
        self._topic = topic_name(settings.topic_prefix, Topic.DEAD_LETTERS)
        self._turns = asyncio.Semaphore(READERS_MAX)

    async def page(self, below: Mapping[int, int] | None, limit: int, code: str | None) -> Page:
        """The newest letters below these offsets (all of them when None), only those of a code if it is named.

        Shape: may be shorter than `limit`, or empty, before the last page. Errors: raises ProblemError.
        """
        async with self._opened() as log:
            begins, ends = await log.begins(), await log.ends()
            reading = _Backwards(log, begins, ends if below is None else _within(below, begins, ends), code)
            return await reading.page(limit)

    async def one(self, partition: int, offset: int) -> DeadLetter | None:
        """The whole letter at a place; None when there is none, or no longer. Errors: raises ProblemError."""
        async with self._opened() as log:
            begin, end = (await log.begins())[partition], (await log.ends())[partition]
            if begin <= offset < end:
                async for record in log.span({partition: (offset, offset + 1)}):
                    return DeadLetter.of(record)
        return None

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[TopicLog]:
        """The topic, when it is this request's turn and for a bounded time."""
        try:
            async with (
                asyncio.timeout(READ_TIMEOUT_S),
                self._turns,
                open_log(self._settings, self._topic, self._settings.partitions) as log,
            ):
                yield log
        except TimeoutError as error:
            raise not_ready(f"reading `{self._topic}` took more than {READ_TIMEOUT_S:.0f} s") from error
        except KafkaError as error:
            raise not_ready(f"the broker did not answer ({type(error).__name__})") from error


@dataclass(slots=True)
class _Place:
    """How far back one partition has been read."""

    begin: int
    floor: int
    """Everything from here on has been read."""
    given: int
    """Everything from here on was given or did not fit the code."""
    chunk: int = CHUNK_OFFSETS_MIN
    waiting: list[DeadLetter] = field(default_factory=list)
    """Read and not given, the newest last."""

    @property
    def is_read(self) -> bool:
        return self.floor <= self.begin

    def next_span(self) -> tuple[int, int]:
        """The next older stretch; each is twice as long as the one before."""
        span = max(self.begin, self.floor - self.chunk), self.floor
        self.floor, self.chunk = span[0], min(self.chunk * 2, CHUNK_OFFSETS_MAX)
        return span


class _Backwards:
    """One request's way back through all partitions."""

    def __init__(self, log: TopicLog, begins: Mapping[int, int], below: Mapping[int, int], code: str | None) -> None:
        self._log = log
        self._code = code
        self._places = {partition: _Place(begins[partition], end, end) for partition, end in below.items()}
        self._scanned = 0

    async def page(self, limit: int) -> Page:
        letters: list[DeadLetter] = []
        while len(letters) < limit:
            unread = {key: place for key, place in self._places.items() if not (place.waiting or place.is_read)}
            if unread:
                if self._scanned >= SCANNED_OFFSETS_MAX:
                    break
                await self._read(unread)
                continue
            newest = max((place for place in self._places.values() if place.waiting), key=_age, default=None)
            if newest is None:
                break
            letters.append(newest.waiting.pop())
            newest.given = letters[-1].offset if newest.waiting else newest.floor
        more = any(place.waiting or not place.is_read for place in self._places.values())
        return Page(letters, {key: place.given for key, place in self._places.items()} if more else None)

    async def _read(self, places: Mapping[int, _Place]) -> None:
        spans = {partition: place.next_span() for partition, place in places.items()}
        async for record in self._log.span(spans):
            letter = DeadLetter.of(record, VALUE_SHOWN_BYTES_MAX)
            if self._code is None or letter.said.code == self._code:
                places[record.partition].waiting.append(letter)
        for place in places.values():
            if not place.waiting:
                place.given = place.floor
        self._scanned += sum(last - first for first, last in spans.values())


def _age(place: _Place) -> tuple[int, int]:
    newest = place.waiting[-1]
    return newest.at_ms, newest.partition


def _within(below: Mapping[int, int], begins: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
    """A cursor's offsets, within what the topic holds now."""
    return {partition: min(max(below[partition], begins[partition]), end) for partition, end in ends.items()}
