"""Merging contacts through the whole system: one leaves every segment, the other enters what it gained."""

from __future__ import annotations

from typing import Any

import pytest

from bench.waiting import until
from tests.e2e.conftest import RunningSystem

pytestmark = pytest.mark.broker
WAIT_S = 40.0


def test_a_merged_contact_is_gone_and_the_other_has_what_it_lacked(system: RunningSystem) -> None:
    api = f"{system.ingest}/api/v2"
    system.post("/contacts", {"id": "m/old", "attributes": {"merge_plan": "Pro", "city": "Oslo"}})
    system.post("/contacts", {"id": "m new", "attributes": {"city": "Rome"}})
    merged = system.http.post(f"{api}/contacts/m%2Fold/merge", json={"into": "m new"})
    assert merged.status_code == 202, merged.text
    assert merged.json()["attributes_gained"] == ["merge_plan"]

    def found() -> tuple[int, Any]:
        old, new = (system.http.get(f"{system.console}/api/v2/contacts/{each}") for each in ("m%2Fold", "m%20new"))
        return old.status_code, new.json().get("attributes")

    merged_state = (404, {"city": "Rome", "merge_plan": "Pro"})
    until(found, WAIT_S, "one to be gone and the other to have both", satisfies=lambda there: there == merged_state)
    again = system.http.post(f"{api}/contacts/m%2Fold/merge", json={"into": "m new"})
    assert again.status_code == 404
