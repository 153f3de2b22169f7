"""How records become deliveries."""

from __future__ import annotations

from schemas.codec import encode_membership_change
from schemas.membership_change import MembershipChangeRecord
from services.webhooks.deliveries import Read, batch
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


def test_a_cause_larger_than_a_reading_is_delivered_in_parts_rather_than_never() -> None:
    found = batch(reads(Step("v", 2, ("a", "b", "c")))[:2], None)
    assert ([delivery.first_offset for delivery in found.deliveries], found.resume_at) == ([10], 12)


def test_what_no_wanted_segment_is_in_makes_no_delivery_but_is_passed() -> None:
    found = batch([*reads(Step("u", 1, ("a",))), Read(11, None)], frozenset({"b"}))
    assert (found.deliveries, found.resume_at) == ((), 12)


def test_equal_records_make_equal_deliveries() -> None:
    first, second = (batch(reads(Step("u", 1, ("a", "b"))), None).deliveries for _ in range(2))
    assert first == second
    assert first[0].failure_id == second[0].failure_id
