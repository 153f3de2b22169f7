"""Merging contacts through the whole system: one leaves every segment, the other enters what it gained."""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import RunningSystem

pytestmark = pytest.mark.broker


def test_a_merged_contact_is_gone_and_the_other_has_what_it_lacked(system: RunningSystem) -> None:
    api = f"{system.ingest}/api/v2"
    system.post("/contacts", {"id": "m/old", "attributes": {"merge_plan": "Pro", "city": "Oslo"}})
    system.post("/contacts", {"id": "m new", "attributes": {"city": "Rome"}})
    merged = system.http.post(f"{api}/contacts/m%2Fold/merge", json={"into": "m new"})
    assert merged.status_code == 202, merged.text
    assert merged.json()["attributes_gained"] == ["merge_plan"]
    deadline = time.monotonic() + 20
    while True:
        gone = system.http.get(f"{system.console}/api/v2/contacts/m%2Fold")
        remaining = system.http.get(f"{system.console}/api/v2/contacts/m%20new")
        if gone.status_code == 404 and remaining.json()["attributes"] == {"city": "Rome", "merge_plan": "Pro"}:
            break
        assert time.monotonic() < deadline, (gone.text, remaining.text)
        time.sleep(0.1)
    again = system.http.post(f"{api}/contacts/m%2Fold/merge", json={"into": "m new"})
    assert again.status_code == 404
