"""Who changed which segment, key and attribute, and from what to what, as the API tells it."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.service import Ingest
from services.runtime.audit import AUDIT_FILE_NAME
from services.runtime.keys import Scope
from tests.services.ingest.conftest import Running, client_of

pytestmark = pytest.mark.broker


async def entries(running: Running, **params: Any) -> list[dict[str, Any]]:
    answer = await running.http.get("/api/v2/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


async def test_the_life_of_a_segment_is_told_with_its_authors(running: Running) -> None:
    path = "/api/v2/segments/pros"
    made = await running.http.post("/api/v2/segments", json={"id": "pros", "where": "plan is Pro"})
    other = running.keys.create("marketing", {Scope.SEGMENTS_WRITE})
    async with client_of(running.ingest.app, other.token) as marketing:
        edit = {"where": "plan is Free", "name": "Free"}
        edited = await marketing.put(path, json=edit, headers={"If-Match": made.headers["etag"]})
        assert edited.status_code == 200, edited.text
    for state in ("paused", "active"):
        assert (await running.http.put(path, json={"state": state}, headers={"If-Match": "*"})).status_code == 200
    assert (await running.http.delete(path, headers={"If-Match": "*"})).status_code == 204

    told = await entries(running, kind="segment")
    actions = ["deleted", "resumed", "paused", "edited", "created"]
    assert [entry["action"] for entry in told] == [f"segment.{action}" for action in actions]
    assert {entry["subject"] for entry in told} == {"pros"}
    created, edited_entry, deleted = told[4], told[3], told[0]
    assert created["from"] is None
    assert edited_entry["by"] == {"key_id": other.key.id, "key_name": "marketing"}
    assert edited_entry["request_id"] == edited.headers["x-request-id"]
    assert (edited_entry["from"]["version"], edited_entry["to"]["version"]) == (1, 2)
    assert (edited_entry["from"]["text"], edited_entry["to"]["text"]) == ('plan is "pro"', 'plan is "free"')
    assert deleted["to"] is None


async def test_a_lost_race_is_not_in_the_audit(running: Running) -> None:
    await running.http.post("/api/v2/segments", json={"id": "pros", "where": "plan is Pro"})
    late = await running.http.put("/api/v2/segments/pros", json={"name": "x"}, headers={"If-Match": '"9"'})
    assert late.status_code == 412
    assert len(await entries(running, kind="segment")) == 1


async def test_another_process_tells_the_same_of_segments(running: Running) -> None:
    await running.http.post("/api/v2/segments", json={"id": "pros", "where": "plan is Pro"})
    token = running.keys.create("other", {Scope.ADMIN}).token
    beside = running.settings.model_copy(update={"data_dir": running.settings.data_dir / "beside"})
    beside = beside.model_copy(update={"key_file": running.settings.keys_path})
    async with Ingest.running(beside) as ingest, client_of(ingest.app, token) as http:
        assert (await http.get("/api/v2/audit")).json() == (await running.http.get("/api/v2/audit")).json()


async def test_changes_of_keys_and_attributes_are_told_in_pages_newest_first(running: Running) -> None:
    made = (await running.http.post("/api/v2/keys", json={"name": "crm", "scopes": ["contacts:write"]})).json()
    await running.http.put("/api/v2/attributes/renewal", json={"type": "instant", "direction": "next"})
    await running.http.put("/api/v2/attributes/renewal", json={})
    await running.http.delete(f"/api/v2/keys/{made['id']}")
    everything = await entries(running)
    assert [entry["action"] for entry in everything] == [
        "key.revoked",
        "attribute.declared",
        "attribute.declared",
        "key.created",
        "key.created",
    ]
    revoked, taken_back, declared, created, _ = everything
    assert (declared["from"], declared["to"]["direction"]) == (None, "next")
    assert (taken_back["from"]["direction"], taken_back["to"]) == ("next", None)
    assert created["to"]["scopes"] == revoked["from"]["scopes"] == ["contacts:write"]
    assert made["key"] not in str(everything)

    paged: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        page = (await running.http.get("/api/v2/audit", params={"limit": 2, **before})).json()
        paged.extend(page["entries"])
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert paged == everything


async def test_a_declaration_that_cannot_be_audited_is_not_made(running: Running) -> None:
    path = "/api/v2/attributes/renewal"
    audit = running.settings.keys_path.with_name(AUDIT_FILE_NAME)
    audit.rename(audit.with_suffix(".aside"))
    audit.mkdir()
    refused = await running.http.put(path, json={"type": "instant"})
    assert (refused.status_code, dict(running.ingest.topics.declared)) == (503, {})
    audit.rmdir()
    assert (await running.http.put(path, json={"type": "instant"})).status_code == 200
    assert list(running.ingest.topics.declared) == ["renewal"]


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"limit": "9" * 5_000},
        {"limit": "00000001099999"},
        {"kind": "nothing"},
        {"before": ""},
    ],
    ids=lambda params: str(params)[:30],
)
async def test_a_wrong_parameter_is_named(running: Running, params: dict[str, str]) -> None:
    answer = await running.http.get("/api/v2/audit", params=params)
    assert answer.status_code == 422
    assert next(iter(params)) in answer.json()["errors"][0]["message"]
