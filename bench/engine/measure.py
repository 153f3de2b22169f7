"""Prepare writes with the memberships before them, time contenders on them, and see that all find the same flips.

Rule: processor time is measured, not the wall clock, so that what else the machine does matters less.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time
from typing import NamedTuple

from bench.engine.contenders import Contender
from bench.engine.workload import Write
from segmentation.index.catalogue import Catalogue
from segmentation.model import Attributes, InstantMs, SegmentId

BATCH_WRITES = 16
"""Writes between two looks at the stopwatch."""


class Prepared(NamedTuple):
    """A write, the memberships just before it, and what it flips according to the engine."""

    write: Write
    members: dict[SegmentId, int]
    entered: frozenset[SegmentId]
    left: frozenset[SegmentId]


class Rate(NamedTuple):
    """What a contender did."""

    writes_per_s: float
    timed: int
    wrong: int


def prepare(catalogue: Catalogue, contacts: Sequence[Attributes], writes: Sequence[Write]) -> list[Prepared]:
    """The writes with the memberships before each; deadlines that pass between them are fired, untimed."""
    clock = [writes[0].now if writes else InstantMs(0)] * len(contacts)
    members = [catalogue.members(contact, clock[0]) for contact in contacts]
    prepared: list[Prepared] = []
    for write in writes:
        mine = members[write.contact]
        due = catalogue.due(write.before, clock[write.contact])
        while due is not None and due <= write.now:
            flips = catalogue.flips_at(write.before, due, mine)
            mine = mine.union(flips.entered).difference(flips.left)
            due = catalogue.due(write.before, due)
        clock[write.contact] = write.now
        flips = catalogue.flips(write.before, write.after, write.changed, write.now, mine)
        prepared.append(Prepared(write, dict.fromkeys(mine, 0), frozenset(flips.entered), frozenset(flips.left)))
        members[write.contact] = mine.union(flips.entered).difference(flips.left)
    return prepared


def time_contender(contender: Contender, prepared: Sequence[Prepared], warm: int, seconds: float) -> Rate:
    """Run a contender over the writes after the first `warm`, until they or the seconds end; compare every answer."""
    for write, members, _, _ in prepared[:warm]:
        contender.flips(write, members)
    answers = []
    spent = 0.0
    timed = prepared[warm:]
    for start in range(0, len(timed), BATCH_WRITES):
        batch = timed[start : start + BATCH_WRITES]
        began = process_time()
        for write, members, _, _ in batch:
            answers.append(contender.flips(write, members))
        spent += process_time() - began
        if spent > seconds:
            break
    wrong = sum(
        frozenset(entered) != expected.entered or frozenset(left) != expected.left
        for (entered, left), expected in zip(answers, timed, strict=False)
    )
    return Rate(len(answers) / spent, len(answers), wrong)
