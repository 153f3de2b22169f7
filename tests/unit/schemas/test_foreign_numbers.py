"""Numbers that no JSON of ours holds: a record with one is refused where it is read, and not where it is passed on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from schemas.membership_change import LONG_MAX, MembershipChangeRecord
from services.console.events import _frame
from services.console.feed import change_event
from services.webhooks.deliveries import Read, batch

CHANGE: dict[str, Any] = {
    "segment_id": "a",
    "segment_version": 1,
    "contact_id": "u",
    "change": "enter",
    "member": True,
    "at": 1,
    "offset": 1,
    "event_id": "a|u|1|1",
    "cause": {"kind": "write", "partition": 0, "index": 0, "count": 1},
}
NUMBERS = [("segment_version",), ("at",), ("offset",), ("cause", "partition"), ("cause", "index"), ("cause", "count")]


def with_number(where: tuple[str, ...], number: int) -> bytes:
    changed: dict[str, Any] = orjson.loads(orjson.dumps(CHANGE))
    inside = changed
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = number
    return orjson.dumps(changed)


@pytest.mark.parametrize("where", NUMBERS)
def test_a_change_with_a_number_of_more_than_64_bits_is_none_and_the_largest_is_told_to_everybody(
    where: tuple[str, ...],
) -> None:
    with pytest.raises(ValidationError):
        MembershipChangeRecord.decode(with_number(where, LONG_MAX + 1))
    change = MembershipChangeRecord.decode(with_number(where, LONG_MAX))
    assert batch([Read(1, change)], None, at_end=True).deliveries[0].body
    assert _frame(change_event(change, "0"))
