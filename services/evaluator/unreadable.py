"""How many contacts of a partition hold a value that the segments cannot read, by attribute and reading, with samples.

Rule: a watched reading's count is that of the committed contacts up to where it has been counted, in every instant: a
commit brings it along from before and after of each contact, in the same write as the contact's row, and a slice of
counting moves on to further contacts. Only complete counts are rows; one that was interrupted is begun anew. A reading
that reads every value is never watched. Nothing here takes part in evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import orjson

from schemas.codec import decode_contact
from segmentation.expression.compiler import CompiledSegment
from segmentation.expression.readability import AskedReading, readings_asked
from segmentation.expression.readings import NUMBERS, VERSIONS, instant_of
from segmentation.model import AttributeName, Attributes, ContactId, ContactState, SegmentId, SegmentState, Value
from segmentation.values import read_boolean, read_number, read_text, read_version
from services.evaluator import rows
from services.evaluator.ports import Store

SAMPLES_MAX = 8
"""Contacts of which the value is kept, so that one remains when others are repaired."""
SAMPLE_CHARACTERS_MAX = 100
SAMPLE_ELEMENTS_MAX = 5
ASKED_SEGMENTS_MAX = 20_000
"""Segments whose readings are remembered, over all partitions of the process."""

_NO_ATTRIBUTES: Attributes = {}
_NOBODY = ContactId("")


def _number_of(value: Value) -> object:
    return NUMBERS[value] if isinstance(value, str) else read_number(value)


def _version_of(value: Value) -> object:
    return VERSIONS[value] if isinstance(value, str) else read_version(value)


_ALWAYS: dict[str, frozenset[type]] = {
    "text": frozenset({str, bool, int, float}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "version": frozenset(),
    "instant": frozenset(),
}
"""The types of which each reading reads every value. A whole number on the wire has 64 bits, so it is a float too."""
_READERS: dict[str, Callable[[Value], object]] = {
    "text": read_text,
    "number": _number_of,
    "boolean": read_boolean,
    "version": _version_of,
    "instant": instant_of,
}


def _reader(reading: str) -> Callable[[Value], object]:
    """The reader of a scalar; of a set with literals of several types, whichever of theirs reads it."""
    first, *others = (_READERS[name] for name in reading.split(" or "))
    if not others:
        return first
    return lambda value: next((read for each in (first, *others) if (read := each(value)) is not None), None)


class UnreadableCount(NamedTuple):
    """What is shown of one reading. While `settling`, `contacts` is how many were found so far."""

    attribute: AttributeName
    reading: str
    contacts: int
    sample: Value | None
    settling: bool


class Watched:
    """One reading that some active segment asks. `through` is the last contact counted; None once all are."""

    __slots__ = ("_always", "_read", "asked", "count", "samples", "through")

    def __init__(self, asked: AskedReading) -> None:
        self.asked = asked
        self.count = 0
        self.samples: dict[ContactId, Value] = {}
        self.through: ContactId | None = _NOBODY
        self._read = _reader(asked.reading)
        self._always = frozenset[type]().union(*(_ALWAYS[name] for name in asked.reading.split(" or ")))

    def reads(self, value: Value) -> bool:
        """Whether the value can be read as asked; `can_read` with a memory for texts."""
        if value.__class__ in self._always:
            return True
        if value.__class__ is list:
            return self.asked.lists
        return self._read(value) is not None

    def change(self, contact_id: ContactId, old: Value | None, value: Value | None) -> bool:
        """Count a contact's new value instead of its old one; whether anything is different now."""
        if self.through is not None and contact_id > self.through:
            return False
        # Where nothing is unreadable the old value was not: the common case looks at the new value alone.
        was = self.count > 0 and old is not None and not self.reads(old)
        is_now = value is not None and not self.reads(value)
        if was:
            self.count -= 1
            self.samples.pop(contact_id, None)
        if is_now and value is not None:
            self.add(contact_id, value)
        return was or is_now

    def add(self, contact_id: ContactId, value: Value) -> None:
        """Count an unreadable value. The newest samples stay: who repairs contacts in order comes to them last."""
        self.count += 1
        if len(self.samples) >= SAMPLES_MAX:
            del self.samples[next(iter(self.samples))]
        self.samples[contact_id] = shortened(value)

    def restart(self) -> None:
        """Forget what was counted."""
        self.count, self.through = 0, _NOBODY
        self.samples.clear()

    def shown(self) -> UnreadableCount:
        """The count as people see it."""
        sample = next(iter(self.samples.values()), None)
        return UnreadableCount(self.asked.attribute, self.asked.reading, self.count, sample, self.through is not None)


class UnreadableValues:
    """The watched readings of one partition."""

    def __init__(self) -> None:
        self.generation = 0
        """Raised whenever `report` may say something else."""
        self._watched: dict[AskedReading, Watched] = {}
        self._by_attribute: dict[AttributeName, list[Watched]] = {}
        self._askers: dict[AskedReading, set[SegmentId]] = {}
        self._asked_by: dict[SegmentId, frozenset[AskedReading]] = {}
        self._unsettled: dict[AskedReading, Watched] = {}
        self._counting: list[Watched] = []
        self._after = _NOBODY
        self._unwritten: dict[AskedReading, Watched | None] = {}

    @classmethod
    def stored(cls, found: Iterable[tuple[bytes, bytes]]) -> UnreadableValues:
        """The complete counts that a store's rows hold, whoever asks for them."""
        values = cls()
        for key, row in found:
            watched = values._watch(_asked_of(key))
            watched.count, samples = orjson.loads(row)
            watched.samples = {ContactId(contact_id): value for contact_id, value in samples}
            watched.through = None
        values._unsettled.clear()
        return values

    def restore(self, segments: Iterable[CompiledSegment]) -> None:
        """Say who asks; what nobody asks any more is dropped."""
        for segment in segments:
            self.define(segment)
        for asked in [asked for asked in self._watched if asked not in self._askers]:
            self._drop(asked)

    def define(self, segment: CompiledSegment) -> None:
        """A segment asks what its newest version does; a reading that nobody asked before is yet to be counted."""
        before = self._asked_by.pop(segment.segment_id, frozenset())
        now = _watchable(segment) if segment.state is SegmentState.ACTIVE else frozenset()
        if now:
            self._asked_by[segment.segment_id] = now
        for asked in now - before:
            self._askers.setdefault(asked, set()).add(segment.segment_id)
            if asked not in self._watched:
                self._watch(asked)
        for asked in before - now:
            askers = self._askers[asked]
            askers.discard(segment.segment_id)
            if not askers:
                del self._askers[asked]
                self._drop(asked)
        self.generation += 1

    def change(
        self,
        contact_id: ContactId,
        before: Attributes,
        now: Attributes,
        changed: Iterable[AttributeName] | None = None,
    ) -> None:
        """Bring the counts along with a contact's committed attributes.

        Shape: `changed` names at least every attribute that differs; by default they are looked for.
        """
        by_attribute = self._by_attribute
        if not by_attribute:
            return
        for name in {**before, **now} if changed is None else dict.fromkeys(changed):
            if name in by_attribute and before.get(name) is not now.get(name):
                self._change(contact_id, name, before.get(name), now.get(name))

    @property
    def is_watching(self) -> bool:
        """Whether any reading is watched, so that `change` must be told of every contact."""
        return bool(self._watched)

    @property
    def is_behind(self) -> bool:
        """Whether some reading has not been counted over all contacts."""
        return bool(self._unsettled)

    def count_more(self, store: Store, limit: int) -> int:
        """Count the unsettled readings over at most `limit` more contacts; how many were looked at.

        The store must be level with the last commit, as it always is between two commits.
        """
        if not self._counting:
            self._after = _NOBODY
            self._counting = list(self._unsettled.values())
            for watched in self._counting:
                watched.restart()
        if not self._counting:
            return 0
        start = rows.after(rows.contact_key(self._after)) if self._after else rows.CONTACTS_START
        found = store.scan(start, rows.CONTACTS_END, limit)
        for key, row in found:
            self._count(rows.contact_of(key), decode_contact(row).attributes)
        self._after = rows.contact_of(found[-1][0]) if found else self._after
        self.generation += 1
        is_done = len(found) < limit
        for watched in self._counting:
            watched.through = None if is_done else self._after
            if is_done:
                del self._unsettled[watched.asked]
                self._unwritten[watched.asked] = watched
        if is_done:
            self._counting = []
        return len(found)

    def put(self, batch: dict[bytes, bytes | None]) -> None:
        """Add the rows of the complete counts that are different now."""
        for asked, watched in self._unwritten.items():
            batch[_key(asked)] = None if watched is None else _row(watched)
        self._unwritten = {}

    def counts(self) -> list[UnreadableCount]:
        """What is to be said of each attribute and reading: unreadable values, and whether they are still counted."""
        found = {(shown.attribute, shown.reading): shown for _, shown in self._shown()}
        return [found[key] for key in sorted(found)]

    def report(self) -> dict[SegmentId, tuple[UnreadableCount, ...]]:
        """The same by segment, in the order of attribute and reading. Cost: the segments that have something to say."""
        found: dict[SegmentId, dict[tuple[AttributeName, str], UnreadableCount]] = {}
        for asked, shown in self._shown():
            for segment_id in self._askers.get(asked, ()):
                found.setdefault(segment_id, {})[asked.attribute, asked.reading] = shown
        return {segment_id: tuple(each for _, each in sorted(named.items())) for segment_id, named in found.items()}

    def _shown(self) -> list[tuple[AskedReading, UnreadableCount]]:
        """The readings with something to say.

        Shape: one that is asked without lists comes after the same with lists, whose contacts it includes.
        """
        found = [each for each in self._watched.items() if each[1].count or each[1].through is not None]
        return [(asked, watched.shown()) for asked, watched in sorted(found, key=lambda each: not each[0].lists)]

    def _change(self, contact_id: ContactId, name: AttributeName, old: Value | None, value: Value | None) -> None:
        for watched in self._by_attribute[name]:
            if not watched.change(contact_id, old, value):
                continue
            self.generation += 1
            if watched.through is not None:
                continue
            if watched.count and not watched.samples:
                # Every contact that served as a sample was repaired: only counting anew finds another.
                watched.restart()
                self._unsettled[watched.asked] = watched
                self._unwritten[watched.asked] = None
            else:
                self._unwritten[watched.asked] = watched

    def _count(self, contact_id: ContactId, attributes: Attributes) -> None:
        for watched in self._counting:
            value = attributes.get(watched.asked.attribute)
            if value is not None and not watched.reads(value):
                watched.add(contact_id, value)

    def _watch(self, asked: AskedReading) -> Watched:
        watched = self._watched[asked] = self._unsettled[asked] = Watched(asked)
        self._by_attribute.setdefault(asked.attribute, []).append(watched)
        return watched

    def _drop(self, asked: AskedReading) -> None:
        watched = self._watched.pop(asked)
        self._unsettled.pop(asked, None)
        beside = self._by_attribute[asked.attribute]
        beside.remove(watched)
        if not beside:
            del self._by_attribute[asked.attribute]
        if watched in self._counting:
            self._counting.remove(watched)
        self._unwritten[asked] = None


def attributes_of(contact: ContactState | None) -> Attributes:
    """A contact's attributes; none of a contact that does not exist."""
    return _NO_ATTRIBUTES if contact is None else contact.attributes


def shortened(value: Value) -> Value:
    """A value as a sample shows it: the beginning of a long text or list."""
    if isinstance(value, list):
        return [each[:SAMPLE_CHARACTERS_MAX] if isinstance(each, str) else each for each in value[:SAMPLE_ELEMENTS_MAX]]
    return value[:SAMPLE_CHARACTERS_MAX] if isinstance(value, str) else value


@lru_cache(maxsize=ASKED_SEGMENTS_MAX)
def _watchable(segment: CompiledSegment) -> frozenset[AskedReading]:
    """The readings to watch for a segment: any scalar can be read as text, and a list where lists are."""
    return frozenset(
        asked
        for asked in readings_asked(segment.expression)
        if not (asked.lists and "text" in asked.reading.split(" or "))
    )


def _key(asked: AskedReading) -> bytes:
    return rows.UNREADABLE_START + orjson.dumps([asked.attribute, asked.reading, asked.lists])


def _asked_of(key: bytes) -> AskedReading:
    attribute, reading, lists = orjson.loads(key[1:])
    return AskedReading(AttributeName(attribute), reading, lists)


def _row(watched: Watched) -> bytes:
    return orjson.dumps([watched.count, list(watched.samples.items())])
