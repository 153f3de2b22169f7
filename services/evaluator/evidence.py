"""Whether transactions that have no outcome in some topics were committed: what the rest of the log and a disk say.

Shape: a partition's transactions are told by their control rows, in order, each with what it wrote in the other topics.
A row is either committed, or undecided as its topic is. Rule: pure, and cautious: only what is proved is committed, for
what is aborted is evaluated again and comes out the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from schemas.topics import Topic
from services.evaluator.ledger import Wrote
from services.evaluator.ports import Bounds

Row = Mapping[Topic, Wrote]


@dataclass(frozen=True, slots=True)
class Case:
    """One partition with something undecided.

    `undecided` says of each such topic from where on, `ends` of each where it ends. `last` is the last transaction of
    which the control row is committed, which also says where those before it began; the rows of `open` are undecided.
    `position` is the last committed input position, `disk` is right behind the last control record that the local store
    holds, `group` is what the group has committed.
    """

    undecided: Mapping[Topic, Bounds]
    ends: Mapping[Topic, int]
    last: Row
    open: Sequence[Row]
    position: int
    disk: int
    group: int | None

    @property
    def is_control_undecided(self) -> bool:
        """Whether the transactions in question are told by undecided rows."""
        return Topic.CONTROL_CHANGELOG in self.undecided


def telling(case: Case) -> Mapping[Topic, Bounds]:
    """The ranges of other topics of which it must be known whether they hold a committed record."""
    if case.is_control_undecided:
        ranges: dict[Topic, Bounds] = {}
        for row in case.open:
            for topic, wrote in row.items():
                if wrote.records and topic not in case.undecided:
                    ranges.setdefault(topic, Bounds(wrote.at, case.ends[topic]))
        return ranges
    return {
        topic: Bounds(case.last[topic].at, undecided.first)
        for topic, undecided in case.undecided.items()
        if topic in case.last
    }


def is_committed(case: Case, holding: Collection[Topic]) -> bool:
    """Whether to commit what is undecided, when of the telling ranges those in `holding` hold committed records."""
    told = telling(case)
    if not case.is_control_undecided:
        # The last committed transaction of a topic owns what is undecided there, unless its own is decided before.
        return bool(told.keys() - set(holding))
    if told:
        return bool(holding)
    return (case.group is not None and case.group > case.position) or _disk_proves(case)


def _disk_proves(case: Case) -> bool:
    """Whether the local store, written only once a commit was acknowledged, holds all that is undecided.

    It ends in the last undecided control record, and the transactions told by these wrote all that the other topics
    hold: nothing is of a later one that was aborted.
    """
    return case.disk == case.ends[Topic.CONTROL_CHANGELOG] and all(
        sum(row[topic].records for row in case.open if topic in row) == bounds.end - bounds.first
        for topic, bounds in case.undecided.items()
        if topic is not Topic.CONTROL_CHANGELOG
    )
