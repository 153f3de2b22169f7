"""The definitions of one partition: which are in force, which are not behind every contact yet, who has passed which.

A definition takes effect at one position of the partition's log, for every contact, however long the work behind it
takes. So a superseded version is kept until every contact has been brought past it. Rule: a version that is already
here changes nothing, so a repeated record is harmless. This module places and looks up; it never evaluates.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from segmentation.expression.compiler import CompiledSegment
from segmentation.index.catalogue import Catalogue
from segmentation.model import CatalogueSeq, ContactId, InstantMs, Offset, SegmentId, SegmentState

NO_SEQ = CatalogueSeq(0)


@dataclass(frozen=True, slots=True)
class PlacedDefinition:
    """A definition where it stands in the partition's log: the `seq`-th accepted one, at (clock, offset)."""

    seq: CatalogueSeq
    clock: InstantMs
    offset: Offset
    segment: CompiledSegment


@dataclass(frozen=True, slots=True)
class BackfillCursor:
    """A scan that brings every contact through `target`; contacts up to and including `after` have been reached.

    Shape: contacts are scanned in the order of their ids' UTF-8 bytes, which is the order of Python's strings.
    """

    target: CatalogueSeq
    after: ContactId


class DefinitionLog:
    """All definitions of one partition. Mutated only by `place` and the three steps of a backfill.

    Invariant: `passed <= cursor.target <= seq`; `pending` holds exactly the definitions with a seq above `passed`.
    """

    def __init__(self) -> None:
        self.catalogue = Catalogue.empty()
        self.seq = NO_SEQ
        self.passed = NO_SEQ
        self.cursor: BackfillCursor | None = None
        self.pending: list[PlacedDefinition] = []
        self.skipped: set[ContactId] = set()
        """Contacts that scans leave where they stand; until there are none, no scan is finished."""
        self._settled: dict[SegmentId, PlacedDefinition] = {}  # the newest that every contact has passed
        self._versions: dict[SegmentId, int] = {}
        self._history: dict[SegmentId, list[tuple[CatalogueSeq, CompiledSegment | None]]] = {}

    @classmethod
    def restore(
        cls, placed: Iterable[PlacedDefinition], passed: CatalogueSeq, cursor: BackfillCursor | None
    ) -> DefinitionLog:
        """Rebuild from the kept definitions.

        Shape: `placed` holds, in any order, every definition with a seq above `passed` and for each segment the newest
        one at or below it; what `finish_backfill` returned may be absent.
        """
        log = cls()
        ordered = sorted(placed, key=lambda definition: definition.seq)
        for definition in ordered:
            if definition.seq <= passed:
                log._settled[definition.segment.segment_id] = definition
        settled = [definition.segment for definition in log._settled.values()]
        log._versions = {segment.segment_id: segment.version for segment in settled}
        log.catalogue = Catalogue.of(segment for segment in settled if segment.state is not SegmentState.DELETED)
        log.seq = log.passed = passed
        for definition in ordered:
            if definition.seq > passed:
                log._append(definition)
        log.cursor = cursor
        return log

    def has(self, segment_id: SegmentId, version: int) -> bool:
        """Whether this or a later version is already here, so that a record naming it changes nothing."""
        return self._versions.get(segment_id, 0) >= version

    def place(self, segment: CompiledSegment, clock: InstantMs, offset: Offset) -> PlacedDefinition | None:
        """Take a definition read at (clock, offset) of the log; None if this or a later version is already here."""
        if self.has(segment.segment_id, segment.version):
            return None
        placed = PlacedDefinition(CatalogueSeq(self.seq + 1), clock, offset, segment)
        self._append(placed)
        return placed

    def seq_through(self, contact_id: ContactId, recorded: CatalogueSeq) -> CatalogueSeq:
        """Through which definition a contact has been brought, counting scans that found nothing to record."""
        reached = self.passed
        if self.cursor is not None and contact_id <= self.cursor.after and contact_id not in self.skipped:
            reached = self.cursor.target
        return max(recorded, reached)

    def after(self, seq: CatalogueSeq) -> list[PlacedDefinition]:
        """The definitions that a contact at `seq` has not seen, in log order.

        Shape: `seq` is at least `passed`.
        """
        return self.pending[seq - self.passed :]

    def as_of(self, segment_id: SegmentId, seq: CatalogueSeq) -> CompiledSegment | None:
        """The segment as defined after the first `seq` definitions; None before its first and once deleted.

        Shape: `seq` is at least `passed`.
        """
        versions = self._history.get(segment_id)
        if versions is None:
            return self.catalogue.segments.get(segment_id)
        return versions[bisect_right(versions, seq, key=lambda entry: entry[0]) - 1][1]

    def segment_ids(self) -> set[SegmentId]:
        """Every segment that is in force, or was for a contact not yet brought through."""
        return {*self.catalogue.segments, *self._history}

    def deleted_ids(self) -> list[SegmentId]:
        """Every segment of which the newest definition deletes it. Cost: all segments that there ever were."""
        return [segment_id for segment_id in self._versions if segment_id not in self.catalogue.segments]

    def begin_backfill(self) -> BackfillCursor | None:
        """Start a scan through the newest definition; None if every contact has passed all of them."""
        if not self.pending:
            return None
        self.cursor = BackfillCursor(self.seq, ContactId(""))
        return self.cursor

    def advance_backfill(self, after: ContactId) -> BackfillCursor:
        """Record that every contact up to and including `after` has been brought through the scan's target."""
        if self.cursor is None or after < self.cursor.after:
            raise AssertionError(f"the backfill cursor cannot move to {after!r} from {self.cursor}")
        self.cursor = BackfillCursor(self.cursor.target, after)
        return self.cursor

    def retry_skipped(self) -> None:
        """Begin the scan again, the skipped contacts with it. Those that it has reached before are reached again."""
        self.skipped.clear()
        self.cursor = None

    @property
    def durable_cursor(self) -> BackfillCursor | None:
        """The cursor that may outlive the process: one that has skipped a contact must not."""
        return None if self.skipped else self.cursor

    def finish_backfill(self) -> list[PlacedDefinition]:
        """Every contact has passed the target: forget what only they needed; return what is superseded."""
        if self.cursor is None:
            raise AssertionError("no backfill is under way")
        if self.skipped:
            raise AssertionError(f"{len(self.skipped)} contacts were skipped: they still need the old definitions")
        self.passed = self.cursor.target
        self.cursor = None
        superseded: list[PlacedDefinition] = []
        for placed in self.pending:
            if placed.seq <= self.passed:
                previous = self._settled.get(placed.segment.segment_id)
                if previous is not None:
                    superseded.append(previous)
                self._settled[placed.segment.segment_id] = placed
        self.pending = [placed for placed in self.pending if placed.seq > self.passed]
        self._history = {
            segment_id: [(self.passed, self.as_of(segment_id, self.passed)), *later]
            for segment_id, versions in self._history.items()
            if (later := [entry for entry in versions if entry[0] > self.passed])
        }
        return superseded

    def _append(self, placed: PlacedDefinition) -> None:
        segment = placed.segment
        versions = self._history.get(segment.segment_id)
        if versions is None:
            base = self.catalogue.segments.get(segment.segment_id)
            versions = self._history[segment.segment_id] = [(self.passed, base)]
        versions.append((placed.seq, None if segment.state is SegmentState.DELETED else segment))
        self.catalogue = self.catalogue.define(segment)
        self.seq = placed.seq
        self.pending.append(placed)
        self._versions[segment.segment_id] = segment.version
