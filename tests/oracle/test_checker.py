"""Each rule of the checker, broken by one hand-made sequence, and a sequence that keeps them all."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from segmentation.model import CauseKind, ChangeKind, ContactId, SegmentId
from tests.oracle.checker import (
    Published,
    check_acknowledged,
    check_committed,
    check_readers_agree,
    check_uncommitted,
    fold,
)
from tests.oracle.partitions import home_partition
from tests.oracle.reference import ExpectedChange, ExpectedErasure, ExpectedEvent

CONTACT = ContactId("u_17")
PARTITIONS = 3
HOME = home_partition(CONTACT, PARTITIONS)
ENTER, EXIT = ChangeKind.ENTER, ChangeKind.EXIT


def change(
    kind: ChangeKind, at: int, offset: int, segment: str = "s", index: int = 0, count: int = 1
) -> ExpectedChange:
    return ExpectedChange(CONTACT, SegmentId(segment), 1, kind, at, offset, CauseKind.WRITE, index, count)


def published(events: Sequence[ExpectedEvent], partition: int = HOME, first: int = 0) -> list[Published]:
    return [as_record(event, partition, first + place) for place, event in enumerate(events)]


def as_record(event: ExpectedEvent, partition: int, offset: int) -> Published:
    key = f"{event.segment_id}|{event.contact_id}"
    if isinstance(event, ExpectedErasure):
        return Published(partition, offset, key.encode(), None)
    body = {
        "segment_id": event.segment_id,
        "segment_version": event.segment_version,
        "contact_id": event.contact_id,
        "change": event.kind,
        "member": event.kind is ENTER,
        "at": event.at,
        "offset": event.offset,
        "event_id": f"{key}|{event.at}|{event.offset}",
        "cause": {"kind": event.cause, "partition": partition, "index": event.index, "count": event.count},
    }
    return Published(partition, offset, key.encode(), json.dumps(body).encode())


GOOD: list[ExpectedEvent] = [change(ENTER, 5, 1), change(EXIT, 9, -1), ExpectedErasure(CONTACT, SegmentId("s"))]
EXPECTED = {HOME: {CONTACT: GOOD}}


def test_a_sequence_as_expected_has_no_violation() -> None:
    verdict = check_committed(published(GOOD), EXPECTED, PARTITIONS)
    assert verdict, verdict.report()
    assert (verdict.changes, verdict.tombstones, verdict.repeats) == (2, 1, 0)


def test_a_repeat_is_allowed_only_to_readers_of_uncommitted_records() -> None:
    repeated = published([*GOOD[:2], *GOOD])
    assert check_uncommitted(repeated, EXPECTED, PARTITIONS)
    assert "expected once, found again" in check_committed(repeated, EXPECTED, PARTITIONS).report()


def test_a_repeat_with_other_bytes_is_a_violation() -> None:
    one, *rest = published(GOOD)
    assert one.value is not None
    other = one._replace(offset=7, value=one.value.replace(b'"segment_version": 1', b'"segment_version": 2'))
    assert "again, found" in check_uncommitted([one, other, *rest], EXPECTED, PARTITIONS).report()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([change(EXIT, 5, 1)], "expected enter, found exit (5, 1) again"),
        ([change(ENTER, 5, 1), change(ENTER, 9, 2)], "expected exit, found enter (9, 2) again"),
        ([change(ENTER, 5, 1), change(EXIT, 5, -1)], "expected a version above (5, 1), found (5, -1)"),
        ([change(ENTER, 5, 1), ExpectedErasure(CONTACT, SegmentId("s"))], "expected an exit before the tombstone"),
        ([change(ENTER, 5, 1, "a", 0, 2), change(ENTER, 5, 1, "b", 0, 2)], "expected 2 changes numbered in order"),
        ([change(ENTER, 5, 1, "a", 0, 3), change(ENTER, 5, 1, "b", 1, 3)], "expected 2 changes numbered in order"),
        (
            [change(ENTER, 5, 1, "a", 0, 2), change(ENTER, 6, 2, "c"), change(ENTER, 5, 1, "b", 1, 2)],
            "expected side by side, found apart",
        ),
        (GOOD[:1], "expected exit s version 1 at 9 offset -1 (write, 0 of 1), found nothing more"),
        ([*GOOD, change(ENTER, 12, 4)], "expected nothing more, found enter s version 1 at 12 offset 4"),
        ([change(ENTER, 5, 1), change(EXIT, 10, -1), GOOD[2]], "expected exit s version 1 at 9 offset -1"),
        (GOOD[:2], "expected a tombstone of s, found nothing more"),
    ],
)
def test_each_broken_rule_is_said_with_what_was_expected_and_found(found: list[ExpectedEvent], said: str) -> None:
    report = check_committed(published(found), EXPECTED, PARTITIONS).report()
    assert said in report, report
    assert "contact u_17" in report


def test_a_record_on_a_foreign_partition_is_a_violation() -> None:
    foreign = (HOME + 1) % PARTITIONS
    report = check_committed(published(GOOD, foreign), {foreign: {CONTACT: GOOD}}, PARTITIONS).report()
    assert f"expected on partition {HOME}, found on {foreign}" in report


def test_a_record_that_contradicts_its_key_is_a_violation() -> None:
    one = published(GOOD)[0]
    report = check_committed([one._replace(key=b"other|u_17")], EXPECTED, PARTITIONS).report()
    assert "expected segment_id 'other', found 's'" in report


def test_a_record_without_a_field_is_a_violation() -> None:
    one = published(GOOD)[0]
    assert one.value is not None
    body = json.loads(one.value)
    del body["cause"]["index"]
    report = check_committed([one._replace(value=json.dumps(body).encode())], EXPECTED, PARTITIONS).report()
    assert "expected the fields cause.index" in report


def test_readers_during_and_after_the_faults_are_compared_record_by_record() -> None:
    records = published(GOOD)
    assert check_readers_agree(records, records) == []
    assert "found nothing" in check_readers_agree(records[:2], records)[0]


def test_an_acknowledged_message_that_never_arrived_is_named() -> None:
    assert check_acknowledged(["m1", "m2"], ["m2", "m3"]) == [
        "message m1: acknowledged, so expected in the input log, found nothing"
    ]


def test_a_fold_by_key_gives_the_members() -> None:
    assert fold(published(GOOD[:1])) == {SegmentId("s"): {CONTACT}}
    assert fold(published(GOOD)) == {}
