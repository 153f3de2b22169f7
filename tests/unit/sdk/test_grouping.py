"""Deliveries: snapshot first, causes together, positions never inside a group. Records are made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.membership_change import ChangeCause, MembershipChangeRecord, membership_key
from segmentation.model import CauseKind, ChangeKind, ContactId, InstantMs, SegmentId
from tidegate.grouping import Delivery, PartitionReader
from tidegate.ledger import SqliteLedger

Row = tuple[bytes, bytes | None]

NO_CHANGES = (b"canary", b'{"canary": 1}', b'{"specversion": "1.0", "canary": true}', b"[]", b"null", b"", b"\xff\xfe")
"""Values that are no membership change: no JSON, another type's, other kinds of JSON, nothing, no text."""


def change(
    segment: str, contact: str, at: int, offset: int, *, member: bool = True, index: int = 0, count: int = 1
) -> Row:
    record = MembershipChangeRecord(
        segment_id=SegmentId(segment),
        segment_version=1,
        contact_id=ContactId(contact),
        change=ChangeKind.ENTER if member else ChangeKind.EXIT,
        member=member,
        at=InstantMs(at),
        offset=offset,
        event_id=f"{segment}|{contact}|{at}|{offset}",
        cause=ChangeCause(kind=CauseKind.WRITE, partition=0, index=index, count=count),
    )
    return membership_key(SegmentId(segment), ContactId(contact)), record.encode()


def tombstone(segment: str, contact: str) -> Row:
    return membership_key(SegmentId(segment), ContactId(contact)), None


def read(reader: PartitionReader, rows: list[Row], start: int = 0) -> list[Delivery]:
    return [delivery for offset, row in enumerate(rows, start) for delivery in reader.read(offset, *row)]


def told(deliveries: list[Delivery]) -> list[list[tuple[str, str, bool]]]:
    return [
        [(change.segment_id, change.contact_id, change.member) for change in delivery.changes]
        for delivery in deliveries
        if delivery.changes
    ]


def test_changes_of_one_cause_are_delivered_together() -> None:
    rows = [change("a", "u", 5, 9, index=0, count=2), change("b", "u", 5, 9, member=False, index=1, count=2)]
    deliveries = read(PartitionReader(0, 0, None), rows)
    assert told(deliveries) == [[("a", "u", True), ("b", "u", False)]]
    assert deliveries[-1].resume_at == 2


def test_the_position_never_moves_inside_a_group() -> None:
    rows = [change("a", "u", 5, 9, index=0, count=2)]
    assert read(PartitionReader(0, 0, None), rows) == []


def test_a_group_whose_last_change_was_compacted_away_ends_at_the_next_cause() -> None:
    rows = [change("a", "u", 5, 9, index=0, count=2), change("a", "v", 6, 10)]
    deliveries = read(PartitionReader(0, 0, None), rows)
    assert told(deliveries) == [[("a", "u", True)], [("a", "v", True)]]
    assert [delivery.resume_at for delivery in deliveries] == [1, 2]


def test_unwanted_segments_move_the_position_but_are_not_delivered() -> None:
    deliveries = read(PartitionReader(0, 0, {SegmentId("a")}), [change("b", "u", 5, 9), change("a", "u", 6, 10)])
    assert told(deliveries) == [[("a", "u", True)]]
    assert [delivery.resume_at for delivery in deliveries] == [1, 2]


def test_an_unwanted_last_change_still_ends_its_group() -> None:
    rows = [change("a", "u", 5, 9, index=0, count=2), change("b", "u", 5, 9, index=1, count=2)]
    deliveries = read(PartitionReader(0, 0, {SegmentId("a")}), rows)
    assert told(deliveries) == [[("a", "u", True)]]


def test_a_snapshot_tells_current_members_by_contact_and_then_the_changes_that_follow() -> None:
    rows = [
        change("a", "u", 1, 0),
        change("b", "u", 2, 1),
        change("a", "v", 3, 2),
        change("a", "v", 4, 3, member=False),
        change("b", "u", 5, 4, member=False),
    ]
    reader = PartitionReader(0, 0, None, snapshot_until=4)
    deliveries = read(reader, rows)
    assert told(deliveries) == [[("a", "u", True), ("b", "u", True)], [("b", "u", False)]]
    assert [change.snapshot for delivery in deliveries for change in delivery.changes] == [True, True, False]
    assert [delivery.resume_at for delivery in deliveries] == [None, 4, 5]


def test_a_snapshot_forgets_erased_contacts() -> None:
    reader = PartitionReader(0, 0, None, snapshot_until=3)
    rows = [change("a", "u", 1, 0), change("a", "u", 2, 1, member=False), tombstone("a", "u")]
    assert told([*read(reader, rows), *reader.finish_snapshot()]) == []


def test_a_tombstone_after_the_snapshot_is_no_change() -> None:
    deliveries = read(PartitionReader(0, 0, None), [change("a", "u", 1, 0, member=False), tombstone("a", "u")])
    assert told(deliveries) == [[("a", "u", False)]]
    assert deliveries[-1].resume_at == 2


def test_records_read_again_after_a_seek_are_not_delivered_twice() -> None:
    reader = PartitionReader(0, 0, None)
    rows = [change("a", "u", 1, 0)]
    assert told([*read(reader, rows), *read(reader, rows)]) == [[("a", "u", True)]]


@pytest.mark.parametrize("value", NO_CHANGES)
def test_a_record_that_is_no_change_is_told_with_its_place_and_the_position_moves_behind_it(value: bytes) -> None:
    rows = [change("a", "u", 1, 0), (b"canary", value), change("a", "v", 2, 1)]
    deliveries = read(PartitionReader(0, 0, None), rows)
    assert told(deliveries) == [[("a", "u", True)], [("a", "v", True)]]
    assert [delivery.resume_at for delivery in deliveries] == [1, 2, 3]
    (unreadable,) = [delivery.unreadable for delivery in deliveries if delivery.unreadable is not None]
    assert unreadable.offset == 1
    assert unreadable.reason
    assert "canary" not in str(unreadable), "what a record holds may be a secret"


def test_what_a_change_lacks_is_named() -> None:
    key, value = change("a", "u", 1, 0)
    assert value is not None
    (delivery,) = read(PartitionReader(0, 0, None), [(key, value.replace(b'"member":true,', b""))])
    assert delivery.unreadable is not None
    assert delivery.unreadable.reason == "/member: missing"


@pytest.mark.parametrize("field", ["at", "offset"])
def test_a_number_that_no_broker_gives_is_no_change_and_reaches_no_ledger(field: str, tmp_path: Path) -> None:
    key, value = change("a", "u", 1, 0)
    assert value is not None
    greatest = 2**63 - 1
    small = {"at": b'"at":1,', "offset": b'"offset":0,'}[field]
    told_by_broker = value.replace(small, small.replace(small[-2:-1], b"%d" % greatest))
    beyond = told_by_broker.replace(b"%d" % greatest, b"%d" % (greatest + 1))
    deliveries = read(PartitionReader(0, 0, None), [(key, told_by_broker), (key, beyond)])
    assert [delivery.unreadable.reason for delivery in deliveries if delivery.unreadable] == [
        f"/{field}: less_than_equal"
    ]
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for delivery in deliveries:
        ledger.record(delivery.changes)
    ledger.close()


def test_a_record_that_is_no_change_parts_no_group_and_moves_no_position_inside_one() -> None:
    rows = [
        change("a", "u", 5, 9, index=0, count=2),
        (b"k", b"{}"),
        change("b", "u", 5, 9, member=False, index=1, count=2),
    ]
    deliveries = read(PartitionReader(0, 0, None), rows)
    assert told(deliveries) == [[("a", "u", True), ("b", "u", False)]]
    assert [delivery.resume_at for delivery in deliveries] == [None, 3]


@pytest.mark.parametrize("value", [*NO_CHANGES, None])
def test_a_snapshot_goes_on_behind_a_record_that_is_no_change(value: bytes | None) -> None:
    rows = [change("a", "u", 1, 0), (b"\xff|u", value), change("a", "v", 2, 1)]
    reader = PartitionReader(0, 0, None, snapshot_until=3)
    deliveries = [*read(reader, rows), *reader.finish_snapshot()]
    assert told(deliveries) == [[("a", "u", True)], [("a", "v", True)]]
    assert [delivery.resume_at for delivery in deliveries if delivery.resume_at is not None] == [3]
    passed_by = [delivery.unreadable.offset for delivery in deliveries if delivery.unreadable is not None]
    assert passed_by == ([] if value is None else [1])
