"""The definitions of a partition: what is kept of them is enough to go on from, wherever a scan stood."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from segmentation.definitions import DefinitionLog, PlacedDefinition
from segmentation.model import CatalogueSeq, ContactId, InstantMs, Offset, SegmentId, SegmentState
from tests.unit.decisions.timeline import Partition
from tests.unit.index.builders import plan_is, segment

SEGMENTS = [SegmentId(name) for name in ("a", "b", "c")]
CONTACTS = [ContactId(f"c{number}") for number in range(6)]
STEPS = 120


class Kept:
    """A log of definitions, and beside it the rows that are kept of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.log = DefinitionLog()
        self.rows: dict[tuple[SegmentId, int], PlacedDefinition] = {}
        self.versions = dict.fromkeys(SEGMENTS, 0)

    def define(self) -> None:
        segment_id = self.random.choice(SEGMENTS)
        self.versions[segment_id] += 1
        state = self.random.choice(list(SegmentState))
        defined = segment(segment_id, plan_is("pro"), state, self.versions[segment_id])
        placed = self.log.place(defined, InstantMs(1_000), Offset(self.log.seq))
        assert placed is not None
        self.rows[segment_id, defined.version] = placed

    def scan(self) -> None:
        """Reach the next contact, or end the scan behind the last."""
        cursor = self.log.cursor or self.log.begin_backfill()
        if cursor is None:
            return
        ahead = [contact_id for contact_id in CONTACTS if contact_id > cursor.after]
        if ahead:
            self.log.advance_backfill(ahead[0])
            return
        for superseded in self.log.finish_backfill():
            del self.rows[superseded.segment.segment_id, superseded.segment.version]

    def restored(self) -> DefinitionLog:
        rows = self.random.sample(list(self.rows.values()), len(self.rows))
        return DefinitionLog.restore(rows, self.log.passed, self.log.durable_cursor)


def said(log: DefinitionLog) -> Sequence[object]:
    """Everything that a decision asks of a log."""
    seqs = [CatalogueSeq(seq) for seq in range(log.passed, log.seq + 1)]
    return [
        (log.seq, log.passed, log.cursor, log.segment_ids(), log.pending),
        dict(log.catalogue.segments),
        [log.seq_through(contact_id, seq) for contact_id in CONTACTS for seq in (CatalogueSeq(0), log.seq)],
        [(log.after(seq), [log.as_of(segment_id, seq) for segment_id in SEGMENTS]) for seq in seqs],
        [log.has(segment_id, version) for segment_id in SEGMENTS for version in range(1, STEPS)],
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_log_restored_from_what_is_kept_says_what_it_said(seed: int) -> None:
    kept = Kept(seed)
    for step in range(STEPS):
        kept.define() if kept.random.random() < 0.2 else kept.scan()
        assert said(kept.restored()) == said(kept.log), f"seed {seed}, step {step}"
    while kept.log.pending:
        kept.scan()
    newest = {(segment_id, version) for segment_id, version in kept.versions.items() if version}
    assert kept.rows.keys() == newest


def test_contacts_that_a_scan_has_reached_stand_at_its_target_and_the_skipped_where_they_stood() -> None:
    kept = Kept(0)
    kept.define()
    for _ in range(3):
        kept.scan()
    kept.define()
    kept.log.skipped.add(CONTACTS[1])
    through = [kept.log.seq_through(contact_id, CatalogueSeq(0)) for contact_id in CONTACTS]
    assert through == [1, 0, 1, 0, 0, 0]
    assert kept.log.seq_through(CONTACTS[0], CatalogueSeq(2)) == 2
    assert kept.log.durable_cursor is None
    kept.log.retry_skipped()
    assert kept.log.seq_through(CONTACTS[0], CatalogueSeq(0)) == 0


def test_a_scan_goes_forward_and_does_not_end_without_the_skipped() -> None:
    kept = Kept(0)
    with pytest.raises(AssertionError, match="no backfill"):
        kept.log.finish_backfill()
    kept.define()
    for _ in range(3):
        kept.scan()
    with pytest.raises(AssertionError, match="cannot move"):
        kept.log.advance_backfill(CONTACTS[0])
    kept.log.skipped.add(CONTACTS[1])
    with pytest.raises(AssertionError, match="1 contacts were skipped"):
        kept.log.finish_backfill()


@pytest.mark.parametrize("lazy", [False, True])
def test_a_circle_of_references_that_arrives_all_the_same_loops_nowhere(lazy: bool) -> None:
    """Acceptance refuses one, but whoever writes to the input log may say anything."""
    partition = Partition(lazy)
    for step in (
        {"write": {"id": "ann", "attributes": {"plan": "pro"}}},
        {"define": {"id": "a", "where": "in segment b OR plan is pro"}},
        {"define": {"id": "b", "where": "in segment a"}},
    ):
        partition.step({"at": "2026-01-01", **step})
    partition.settle()
    assert partition.contacts[ContactId("ann")].members.keys() == {"a", "b"}
