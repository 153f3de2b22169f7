"""In which topics a transaction ends besides those that it writes to.

A marker decides whatever its producer wrote in a partition since the marker before. So where the broker forgot the
markers of a commit, the next commit must end in the same topics, or that commit would come true in some of them only.
Rule: naming a topic costs the broker one marker, so only what was written lately is named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from schemas.topics import Topic

FOLLOWERS: Mapping[Topic, Sequence[Topic]] = {
    Topic.MEMBERSHIPS: (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG),
    Topic.DEAD_LETTERS: (Topic.CONTROL_CHANGELOG,),
    Topic.CONTACTS_CHANGELOG: (Topic.CONTROL_CHANGELOG,),
}
"""What a transaction that holds records of a topic will hold besides. Named together, one request adds them all."""
RECENT_TRANSACTIONS = 8
"""So many commits in a row may be left without markers, and the next still ends in all of their topics."""


class Naming:
    """The topics of one partition's open transaction and of its latest ones."""

    def __init__(self) -> None:
        self._written: set[Topic] = set()
        self._recent: deque[frozenset[Topic]] = deque(maxlen=RECENT_TRANSACTIONS)

    def begin(self) -> None:
        """A transaction is opened."""
        self._written = set()

    def besides(self, topic: Topic) -> Collection[Topic]:
        """What the open transaction must end in besides, now that records go to `topic`."""
        is_first = not self._written
        self._written.add(topic)
        followers = FOLLOWERS.get(topic, ())
        return frozenset(followers).union(*self._recent) if is_first else followers

    def committed(self) -> None:
        """The open transaction was committed, as far as the broker says."""
        self._recent.append(frozenset(self._written))
