"""`Prefer: wait` through the whole system: the answer tells what the write caused, and it is committed by then."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import RunningSystem

pytestmark = pytest.mark.broker


def test_a_write_that_waits_is_answered_with_its_membership_changes(system: RunningSystem) -> None:
    system.post("/segments", {"id": "waiting-pros", "where": "waiting_plan is Pro"})
    path = f"{system.ingest}/api/v2/contacts/w_1"
    headers = {"Prefer": "wait=20"}
    # The definition and the write travel apart: ask until the definition is in the contact's partition.
    for attempt in range(50):
        entered = system.http.patch(path, json={"attributes": {"waiting_plan": "Pro", "n": attempt}}, headers=headers)
        assert entered.status_code == 200, entered.text
        shown = system.http.get(f"{system.console}/api/v2/contacts/w_1").json()
        if any(membership["segment_id"] == "waiting-pros" for membership in shown["memberships"]):
            break
    left = system.http.patch(path, json={"attributes": {"waiting_plan": None}}, headers=headers)
    assert left.status_code == 200, left.text
    assert left.headers["preference-applied"] == "wait=20"
    receipt = left.json()
    assert [(change["segment_id"], change["change"]) for change in receipt["changes"]] == [("waiting-pros", "exit")]
    assert receipt["changes"][0]["offset"] == receipt["offset"]
    assert 0 < receipt["took_us"] < 20_000_000
