"""What one owner's transactions write where: in which topics each ends besides, and what its control row says of it.

A marker decides whatever its producer wrote in a partition since the marker before. So where the broker forgot the
markers of a commit, the next commit must end in the same topics, or that commit would come true in some of them only.
And a header of each transaction's last control record says where the transaction stands in each topic, so that whoever
finds one that is decided in some topics only can tell which records are its own (`evidence.py`).
Rule: naming a topic costs the broker one marker, so only what was written lately is named.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import orjson

from schemas.topics import Topic
from services.evaluator.ports import Headers, LogError, OutputRecord

OUTPUTS = (Topic.MEMBERSHIPS, Topic.DEAD_LETTERS, Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)
"""The topics of a partition's transactions."""
FOLLOWERS: Mapping[Topic, Sequence[Topic]] = {
    Topic.MEMBERSHIPS: (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG),
    Topic.DEAD_LETTERS: (Topic.CONTROL_CHANGELOG,),
    Topic.CONTACTS_CHANGELOG: (Topic.CONTROL_CHANGELOG,),
}
"""What a transaction that holds records of a topic will hold besides. Named together, one request adds them all."""
RECENT_TRANSACTIONS = 12
"""So many commits in a row may be left without markers, and the next still ends in all of their topics."""
WROTE_HEADER = "wrote"


class Wrote(NamedTuple):
    """What one transaction wrote in one topic: so many records, none of them before the offset `at`.

    Of a topic that it did not write to, `at` is of the latest before that did, and there are no records.
    """

    at: int
    records: int


class Ledger:
    """The open transaction of one partition's owner, and its latest ones."""

    def __init__(self) -> None:
        self._ends: dict[Topic, int] = {}
        self._counts: Counter[Topic] = Counter()
        self._told: dict[Topic, Wrote] = {}
        self._recent: deque[frozenset[Topic]] = deque(maxlen=RECENT_TRANSACTIONS)

    def begin_at(self, ends: Mapping[Topic, int]) -> None:
        """The topics end there, and everything before is decided. To be told before the first transaction."""
        self._ends = dict(ends)

    def begin(self) -> None:
        """A transaction is opened."""
        self._counts = Counter()

    def name(self, topic: Topic) -> Collection[Topic]:
        """What the open transaction must end in, now that records go to `topic`; all at its first, for one request."""
        followers = (topic, *FOLLOWERS.get(topic, ()))
        return followers if self._counts else frozenset(followers).union(*self._recent)

    def enter(self, topic: Topic, records: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """Records as they are to be sent to `topic`; those of the control changelog are a transaction's last."""
        if topic is Topic.CONTROL_CHANGELOG:
            told = {each: Wrote(earlier.at, 0) for each, earlier in self._told.items()}
            told.update((each, Wrote(self._ends.get(each, 0), count)) for each, count in self._counts.items())
            self._told = told
            header = WROTE_HEADER, orjson.dumps({each.value: tuple(wrote) for each, wrote in told.items()})
            records = [*records[:-1], records[-1]._replace(headers=(*records[-1].headers, header))]
        self._counts[topic] += len(records)
        return records

    def acknowledged(self, ends: Mapping[Topic, int]) -> None:
        """The open transaction's records end there. Errors: `LogError` if a topic ended later before."""
        for topic, end in ends.items():
            before = self._ends.get(topic, 0)
            if end < before:
                raise LogError(
                    f"ended at {before}, and after another append at {end}: it was truncated or created anew",
                    topic=topic,
                )
        self._ends.update(ends)

    def committed(self) -> None:
        """The open transaction was committed, as far as the broker says."""
        self._recent.append(frozenset(self._counts))


def wrote(headers: Headers) -> Mapping[Topic, Wrote] | None:
    """What the transaction of a control record wrote, and those before it; None if the record does not say.

    What makes no sense is not ours, so it tells of no transaction of ours.
    """
    told = dict(headers).get(WROTE_HEADER)
    if told is None:
        return None
    try:
        return {_output(name): _where(*where) for name, where in orjson.loads(told).items()}
    except (ValueError, TypeError, AttributeError):
        return None


def _output(name: str) -> Topic:
    topic = Topic(name)
    if topic not in OUTPUTS:
        raise ValueError(f"no transaction writes to {topic}")
    return topic


def _where(at: object, records: object) -> Wrote:
    if type(at) is not int or type(records) is not int or min(at, records) < 0:
        raise ValueError(f"an offset and a number of records cannot be {at!r} and {records!r}")
    return Wrote(at, records)
