"""`Prefer: wait` through the whole system: the answer tells what the write caused, and it is committed by then."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import RunningSystem

pytestmark = pytest.mark.broker


def test_a_write_that_waits_is_answered_with_its_membership_changes(system: RunningSystem) -> None:
    system.define("waiting-pros", "waiting_plan is Pro")
    path = f"{system.ingest}/api/v2/contacts/w_1"
    headers = {"Prefer": "wait=20"}
    entered = system.http.patch(path, json={"attributes": {"waiting_plan": "Pro"}}, headers=headers)
    assert entered.status_code == 200, entered.text
    assert [(each["segment_id"], each["change"]) for each in entered.json()["changes"]] == [("waiting-pros", "enter")]
    left = system.http.patch(path, json={"attributes": {"waiting_plan": None}}, headers=headers)
    assert left.status_code == 200, left.text
    assert left.headers["preference-applied"] == "wait=20"
    receipt = left.json()
    assert [(change["segment_id"], change["change"]) for change in receipt["changes"]] == [("waiting-pros", "exit")]
    assert receipt["changes"][0]["offset"] == receipt["offset"]
    assert 0 < receipt["took_us"] < 20_000_000
