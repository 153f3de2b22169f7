"""Judge what was published: records of `memberships` against the reference, whole sequences and not only the end state.

Rule: reads bytes as any consumer would and shares no decoding with the product. Every violation is one line that names
the contact, the segment, what was expected and what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from segmentation.model import ChangeKind, ContactId, SegmentId
from tests.oracle.partitions import home_partition
from tests.oracle.reference import ExpectedChange, ExpectedErasure, ExpectedEvent

SEPARATOR = "|"
MEMBERSHIP_FIELDS = frozenset(
    {"segment_id", "segment_version", "contact_id", "change", "member", "at", "offset", "event_id", "cause"}
)
CAUSE_FIELDS = frozenset({"kind", "partition", "index", "count"})

Expectations = Mapping[int, Mapping[ContactId, Sequence[ExpectedEvent]]]
"""What each partition must publish, contact by contact."""


class Published(NamedTuple):
    """One record of `memberships` as a consumer reads it."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


class Found(NamedTuple):
    """A record taken apart: an event, or a tombstone when `body` is None."""

    contact_id: ContactId
    segment_id: SegmentId
    body: dict[str, Any] | None
    record: Published


@dataclass
class Verdict:
    """What the checker found."""

    violations: list[str] = field(default_factory=list)
    changes: int = 0
    """Distinct changes read."""
    tombstones: int = 0
    repeats: int = 0
    """Records that repeated an earlier one byte for byte."""

    def __bool__(self) -> bool:
        return not self.violations

    def report(self, at_most: int = 20) -> str:
        """The violations, one a line."""
        shown = self.violations[:at_most]
        more = len(self.violations) - len(shown)
        return "\n".join([*shown, *([f"… and {more} more"] if more else [])]) or "no violation"


def check_committed(records: Iterable[Published], expected: Expectations, partitions: int) -> Verdict:
    """Judge what a consumer that reads committed saw: each change once, in order, and nothing else."""
    verdict = Verdict()
    found = _take_apart(records, partitions, verdict)
    _check_identity(found, verdict, repeats_allowed=False)
    _check_each_key(found, verdict)
    _check_groups(found, verdict)
    _compare(found, expected, verdict, tombstones_in_order=True)
    return verdict


def check_uncommitted(records: Iterable[Published], expected: Expectations, partitions: int) -> Verdict:
    """Judge what a consumer that reads uncommitted saw: the same, once repeats are dropped by their event id."""
    verdict = Verdict()
    found = _take_apart(records, partitions, verdict)
    distinct = _check_identity(found, verdict, repeats_allowed=True)
    # A repeated tombstone cannot be told from a second one, so the order of tombstones means something only committed.
    _check_each_key([one for one in distinct if one.body is not None], verdict)
    _compare(distinct, expected, verdict, tombstones_in_order=False)
    return verdict


def check_readers_agree(during: Iterable[Published], at_the_end: Iterable[Published]) -> list[str]:
    """Judge that a consumer reading during the faults saw what one reading afterwards sees, record by record."""
    violations = []
    early, late = _by_partition(during), _by_partition(at_the_end)
    for partition in sorted(early.keys() | late.keys()):
        for place, (one, other) in enumerate(zip_longest(early.get(partition, []), late.get(partition, []))):
            if one != other:
                violations.append(
                    f"partition {partition}, record {place}: expected {_short(other)} as read at the end, "
                    f"found {_short(one)} as read during the faults"
                )
                break
    return violations


def check_acknowledged(acknowledged: Iterable[str], arrived: Iterable[str]) -> list[str]:
    """Judge that every message answered 202 is in the input log, by its message id."""
    missing = sorted(set(acknowledged) - set(arrived))
    return [f"message {each}: acknowledged, so expected in the input log, found nothing" for each in missing]


def fold(records: Iterable[Published]) -> dict[SegmentId, set[ContactId]]:
    """The members that a consumer holds after applying every record by key."""
    members: dict[SegmentId, set[ContactId]] = {}
    for record in records:
        segment_id, contact_id = _split(record.key)
        member = record.value is not None and bool(json.loads(record.value)["member"])
        if member:
            members.setdefault(segment_id, set()).add(contact_id)
        else:
            members.get(segment_id, set()).discard(contact_id)
    return {segment_id: contacts for segment_id, contacts in members.items() if contacts}


def _split(key: bytes) -> tuple[SegmentId, ContactId]:
    segment_id, _, contact_id = key.decode().partition(SEPARATOR)
    return SegmentId(segment_id), ContactId(contact_id)


def _by_partition(records: Iterable[Published]) -> dict[int, list[Published]]:
    parted: dict[int, list[Published]] = {}
    for record in records:
        parted.setdefault(record.partition, []).append(record)
    return parted


def _short(record: Published | None) -> str:
    if record is None:
        return "nothing"
    says = "tombstone" if record.value is None else record.value.decode()
    return f"{record.key.decode()} at offset {record.offset}: {says}"


def _take_apart(records: Iterable[Published], partitions: int, verdict: Verdict) -> list[Found]:
    found = []
    for record in records:
        segment_id, contact_id = _split(record.key)
        home = home_partition(contact_id, partitions)
        if record.partition != home:
            verdict.violations.append(
                f"contact {contact_id}, segment {segment_id}: expected on partition {home}, found on {record.partition}"
            )
        body = None if record.value is None else json.loads(record.value)
        if body is not None:
            wrong = _wrong_body(body, segment_id, contact_id, record.partition)
            if wrong:
                verdict.violations.append(f"contact {contact_id}, segment {segment_id}: {wrong}")
                continue
        found.append(Found(contact_id, segment_id, body, record))
    return found


def _wrong_body(body: dict[str, Any], segment_id: SegmentId, contact_id: ContactId, partition: int) -> str | None:
    """What a record says that contradicts its own key, place or shape."""
    missing = (MEMBERSHIP_FIELDS - body.keys()) | {
        f"cause.{name}" for name in CAUSE_FIELDS - body.get("cause", {}).keys()
    }
    if missing:
        return f"expected the fields {', '.join(sorted(missing))}, found {json.dumps(body)}"
    event_id = SEPARATOR.join([segment_id, contact_id, str(body["at"]), str(body["offset"])])
    says = {
        "segment_id": (segment_id, body["segment_id"]),
        "contact_id": (contact_id, body["contact_id"]),
        "event_id": (event_id, body["event_id"]),
        "member": (body["change"] == ChangeKind.ENTER, body["member"]),
        "cause.partition": (partition, body["cause"]["partition"]),
    }
    wrong = [f"expected {name} {want!r}, found {got!r}" for name, (want, got) in says.items() if want != got]
    return "; ".join(wrong) or None


def _check_identity(found: Sequence[Found], verdict: Verdict, *, repeats_allowed: bool) -> list[Found]:
    """Same event id, same bytes; where repeats are not allowed, no event id twice. Gives the first of each event."""
    bytes_of: dict[str, bytes | None] = {}
    distinct = []
    for one in found:
        if one.body is None:
            verdict.tombstones += 1
            distinct.append(one)
            continue
        event_id = one.body["event_id"]
        if event_id not in bytes_of:
            bytes_of[event_id] = one.record.value
            distinct.append(one)
            verdict.changes += 1
            continue
        verdict.repeats += 1
        where = f"contact {one.contact_id}, segment {one.segment_id}: event {event_id}"
        if one.record.value != bytes_of[event_id]:
            verdict.violations.append(f"{where}: expected {bytes_of[event_id]!r} again, found {one.record.value!r}")
        elif not repeats_allowed:
            verdict.violations.append(f"{where}: expected once, found again at offset {one.record.offset}")
    return distinct


def _check_each_key(found: Sequence[Found], verdict: Verdict) -> None:
    """Changes alternate beginning with enter, their versions grow, and a tombstone follows an exit only."""
    last: dict[tuple[ContactId, SegmentId], dict[str, Any]] = {}
    for one in found:
        key = (one.contact_id, one.segment_id)
        before = last.get(key)
        where = f"contact {one.contact_id}, segment {one.segment_id}"
        was = "exit" if before is None else before["change"]
        if one.body is None:
            if was != "exit":
                verdict.violations.append(
                    f"{where}: expected an exit before the tombstone, found {was} {_version(before)}"
                )
            continue
        if one.body["change"] == was:
            expected = "enter" if was == "exit" else "exit"
            verdict.violations.append(f"{where}: expected {expected}, found {was} {_version(one.body)} again")
        if before is not None and _version(one.body) <= _version(before):
            verdict.violations.append(
                f"{where}: expected a version above {_version(before)}, found {_version(one.body)}"
            )
        last[key] = one.body


def _version(body: dict[str, Any] | None) -> tuple[int, int]:
    return (0, 0) if body is None else (body["at"], body["offset"])


def _check_groups(found: Sequence[Found], verdict: Verdict) -> None:
    """Changes of one contact at one version are contiguous, numbered from 0, in order of segment id."""
    groups: dict[tuple[int, ContactId, tuple[int, int]], list[tuple[int, Found]]] = {}
    places: dict[int, int] = {}
    for one in found:
        place = places[one.record.partition] = places.get(one.record.partition, -1) + 1
        if one.body is not None:
            groups.setdefault((one.record.partition, one.contact_id, _version(one.body)), []).append((place, one))
    for (_, contact_id, version), members in groups.items():
        bodies = [one.body["cause"] for _, one in members if one.body is not None]
        numbers = [(body["index"], body["count"]) for body in bodies]
        if numbers != [(index, len(members)) for index in range(len(members))]:
            verdict.violations.append(
                f"contact {contact_id} at {version}: expected {len(members)} changes numbered in order, found {numbers}"
            )
        if members[-1][0] - members[0][0] != len(members) - 1:
            segments = ", ".join(one.segment_id for _, one in members)
            verdict.violations.append(
                f"contact {contact_id}, segments {segments} at {version}: expected side by side, found apart"
            )


def _compare(found: Sequence[Found], expected: Expectations, verdict: Verdict, *, tombstones_in_order: bool) -> None:
    """The whole sequence of each contact equals the reference's, tombstones included."""
    seen: dict[tuple[int, ContactId], list[Found]] = {}
    for one in found:
        seen.setdefault((one.record.partition, one.contact_id), []).append(one)
    wanted = {
        (partition, contact_id): events for partition, of in expected.items() for contact_id, events in of.items()
    }
    for partition, contact_id in sorted(seen.keys() | wanted.keys()):
        have, want = seen.get((partition, contact_id), []), wanted.get((partition, contact_id), [])
        if not tombstones_in_order:
            _compare_tombstones(contact_id, have, want, verdict)
            have = [one for one in have if one.body is not None]
            want = [event for event in want if isinstance(event, ExpectedChange)]
        for event, one in zip_longest(want, have):
            if event is None or one is None or not _matches(event, one):
                verdict.violations.append(_difference(contact_id, event, one))
                break


def _compare_tombstones(
    contact_id: ContactId, have: Sequence[Found], want: Sequence[ExpectedEvent], verdict: Verdict
) -> None:
    """Repeats cannot be told from one another where there is no event id, so only presence counts."""
    tombstones = {one.segment_id for one in have if one.body is None}
    erasures = {event.segment_id for event in want if isinstance(event, ExpectedErasure)}
    for segment_id in sorted(tombstones ^ erasures):
        expected, got = ("a tombstone", "none") if segment_id in erasures else ("no tombstone", "one")
        verdict.violations.append(f"contact {contact_id}, segment {segment_id}: expected {expected}, found {got}")


def _matches(event: ExpectedEvent, one: Found) -> bool:
    if isinstance(event, ExpectedErasure) or one.body is None:
        return isinstance(event, ExpectedErasure) and one.body is None and one.segment_id == event.segment_id
    body, cause = one.body, one.body["cause"]
    return (
        body["segment_id"] == event.segment_id
        and body["segment_version"] == event.segment_version
        and body["change"] == event.kind
        and (body["at"], body["offset"]) == (event.at, event.offset)
        and (cause["kind"], cause["index"], cause["count"]) == (event.cause, event.index, event.count)
    )


def _difference(contact_id: ContactId, event: ExpectedEvent | None, one: Found | None) -> str:
    segment_id = event.segment_id if event is not None else one.segment_id if one is not None else ""
    expected, found = _describe_expected(event), _describe_found(one)
    return f"contact {contact_id}, segment {segment_id}: expected {expected}, found {found}"


def _describe_expected(event: ExpectedEvent | None) -> str:
    if event is None:
        return "nothing more"
    if isinstance(event, ExpectedErasure):
        return f"a tombstone of {event.segment_id}"
    return (
        f"{event.kind} {event.segment_id} version {event.segment_version} at {event.at} offset {event.offset} "
        f"({event.cause}, {event.index} of {event.count})"
    )


def _describe_found(one: Found | None) -> str:
    if one is None:
        return "nothing more"
    if one.body is None:
        return f"a tombstone of {one.segment_id}"
    body, cause = one.body, one.body["cause"]
    return (
        f"{body['change']} {body['segment_id']} version {body['segment_version']} at {body['at']} "
        f"offset {body['offset']} ({cause['kind']}, {cause['index']} of {cause['count']})"
    )
