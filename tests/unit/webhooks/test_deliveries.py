"""How records become deliveries."""

from __future__ import annotations

import orjson
import pytest

from schemas.codec import encode_membership_change
from schemas.membership_change import MembershipChangeRecord
from services.webhooks.deliveries import CHANGES_PER_DELIVERY_MAX, Delivery, Read, batch
from tests.services.sdk.stream import Step


def reads(*steps: Step) -> list[Read]:
    values = [encode_membership_change(change, 0)[1] for step in steps for change in step.changes()]
    return [Read(10 + place, MembershipChangeRecord.decode(value)) for place, value in enumerate(values)]


def test_the_changes_of_one_cause_are_one_delivery() -> None:
    found = batch(reads(Step("u", 1, ("a", "b")), Step("u", 2, ("a",)), Step("v", 2, ("a",))), None)
    assert [(delivery.contact_id, delivery.first_offset) for delivery in found.deliveries] == [
        ("u", 10),
        ("u", 12),
        ("v", 13),
    ]
    assert found.resume_at == 14


def test_a_cause_that_may_go_on_behind_the_last_record_is_left_for_the_next_reading() -> None:
    records = reads(Step("u", 1, ("a",)), Step("v", 2, ("a", "b", "c")))[:3]
    found = batch(records, None)
    assert ([delivery.contact_id for delivery in found.deliveries], found.resume_at) == (["u"], 11)


def test_a_cause_that_is_all_that_was_read_is_held_back_until_it_is_whole() -> None:
    records = reads(Step("v", 2, ("a", "b", "c")))
    found = batch(records[:1], None)
    assert (found.deliveries, found.resume_at, found.held) == ((), 10, tuple(records[:1]))
    found = batch([*found.held, *records[1:]], None)
    assert ([delivery.first_offset for delivery in found.deliveries], found.resume_at, found.held) == ([10], 13, ())


def test_a_cause_whose_last_change_was_replaced_is_delivered_when_nothing_follows() -> None:
    records = reads(Step("v", 2, ("a", "b", "c")))[:2]
    found = batch(records, None, at_end=True)
    assert ([delivery.first_offset for delivery in found.deliveries], found.resume_at, found.held) == ([10], 12, ())


@pytest.mark.parametrize("read_at_once", [1, 7, 199, 200, 201, 450])
def test_very_many_changes_of_one_cause_are_the_same_deliveries_wherever_readings_end(read_at_once: int) -> None:
    records = reads(Step("v", 2, tuple(f"s{number}" for number in range(450))))
    made: list[Delivery] = []
    held: tuple[Read, ...] = ()
    for place in range(0, len(records), read_at_once):
        found = batch([*held, *records[place : place + read_at_once]], None)
        held = found.held
        assert len(held) < CHANGES_PER_DELIVERY_MAX
        assert found.resume_at == (held[0].offset if held else records[place : place + read_at_once][-1].offset + 1)
        made.extend(found.deliveries)
    assert tuple(made) == batch(records, None).deliveries
    assert [len(orjson.loads(delivery.body)["changes"]) for delivery in made] == [200, 200, 50]
    again = batch(records[200:], None).deliveries
    assert again == tuple(made[1:])


def test_what_no_wanted_segment_is_in_makes_no_delivery_but_is_passed() -> None:
    found = batch([*reads(Step("u", 1, ("a",))), Read(11, None)], frozenset({"b"}))
    assert (found.deliveries, found.resume_at) == ((), 12)


def test_equal_records_make_equal_deliveries() -> None:
    first, second = (batch(reads(Step("u", 1, ("a", "b"))), None).deliveries for _ in range(2))
    assert first == second
    assert first[0].failure_id == second[0].failure_id
