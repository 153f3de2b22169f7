"""Defining segments through HTTP: read back from the log before it is promised."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.segment_definition import SegmentDefinitionRecord
from schemas.topics import Topic
from services.ingest.service import Ingest
from services.runtime.keys import KeyFile, Scope
from tests.services.ingest.conftest import Running, client_of, read_all

pytestmark = pytest.mark.broker
SEGMENT = {"id": "pros", "name": "Pros", "where": "plan is Pro AND last_active within 7d"}


async def create(running: Running, **fields: Any) -> Any:
    answer = await running.http.post("/api/v2/segments", json={**SEGMENT, **fields})
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_created_segment_is_echoed_in_all_its_forms(running: Running) -> None:
    answer = await create(running)
    segment = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == "/api/v2/segments/pros"
    assert "within last 7 days" in segment["text"]
    assert segment["english"]
    assert segment["attributes"] == ["last_active", "plan"]
    assert segment["depends_on_time"] is True
    read = await running.http.get("/api/v2/segments/pros")
    assert read.json() == segment
    assert (await running.http.get("/api/v2/segments")).json() == {"segments": [segment]}


async def test_the_code_form_and_the_text_form_are_one_expression(running: Running) -> None:
    text = await create(running)
    code = await create(running, id="code", where=[{"plan": "Pro"}, {"last_active": {"within": "7d"}}])
    assert text.json()["where"] == code.json()["where"]


async def test_an_edit_needs_the_newest_version(running: Running) -> None:
    await create(running)
    path = "/api/v2/segments/pros"
    unsaid = await running.http.put(path, json={"name": "x"})
    wrong = await running.http.put(path, json={"name": "x"}, headers={"If-Match": '"7"'})
    saved = await running.http.put(path, json={"name": "x"}, headers={"If-Match": '"1"'})
    stale = await running.http.put(path, json={"name": "y"}, headers={"If-Match": '"1"'})
    assert [answer.status_code for answer in (unsaid, wrong, saved, stale)] == [428, 412, 200, 412]
    assert saved.headers["etag"] == '"2"'
    assert saved.json()["text"] == (await running.http.get(path)).json()["text"]


async def test_an_edit_that_is_sent_again_is_told_that_it_stands(running: Running) -> None:
    await create(running)
    path, first = "/api/v2/segments/pros", {"If-Match": '"1"'}
    saved = await running.http.put(path, json={"name": "x"}, headers=first)
    again = await running.http.put(path, json={"name": "x"}, headers=first)
    assert (again.status_code, again.headers["etag"], again.json()) == (200, '"2"', saved.json())
    async with running.client(Scope.SEGMENTS_WRITE) as other:
        assert (await other.put(path, json={"name": "x"}, headers=first)).status_code == 412
    assert (await running.http.put(path, json={"name": "z"}, headers={"If-Match": '"2"'})).status_code == 200
    for late in (first, {"If-Match": '"0"'}, {"If-Match": 'W/"2"'}):
        assert (await running.http.put(path, json={"name": "z"}, headers=late)).status_code == 412
    assert (await running.http.delete(path, headers=first)).status_code == 412


async def test_of_edits_that_race_from_two_processes_exactly_one_wins(running: Running) -> None:
    await create(running)
    token = KeyFile(running.settings.keys_path).create("other", {Scope.SEGMENTS_WRITE}).token
    async with Ingest.running(running.settings) as other, client_of(other.app, token) as http:
        answers = await asyncio.gather(
            *(
                client.put("/api/v2/segments/pros", json={"name": f"n{n}"}, headers={"If-Match": '"1"'})
                for n, client in enumerate([running.http, http] * 5)
            )
        )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert statuses.count(412) == len(statuses) - 1
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await running.http.get("/api/v2/segments/pros")).json()["name"] == winner.json()["name"]


async def test_pausing_and_resuming_keep_the_expression(running: Running) -> None:
    created = await create(running)
    path = "/api/v2/segments/pros"
    paused = await running.http.put(path, json={"state": "paused"}, headers={"If-Match": '"1"'})
    resumed = await running.http.put(path, json={"state": "active"}, headers={"If-Match": '"2"'})
    assert (paused.json()["state"], resumed.json()["state"]) == ("paused", "active")
    assert resumed.json()["where"] == created.json()["where"]
    assert resumed.json()["version"] == 3


async def test_saving_what_is_already_there_makes_no_new_version(running: Running) -> None:
    await create(running)
    again = await running.http.put(
        "/api/v2/segments/pros", json={"where": SEGMENT["where"]}, headers={"If-Match": '"1"'}
    )
    assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    assert len(await read_all(running.settings, Topic.SEGMENTS)) == 1


async def test_a_deleted_segment_is_gone_and_its_id_goes_on_at_the_next_version(running: Running) -> None:
    await create(running)
    deleted = await running.http.delete("/api/v2/segments/pros", headers={"If-Match": "*"})
    gone = await running.http.get("/api/v2/segments/pros")
    again = await create(running)
    assert (deleted.status_code, gone.status_code, again.json()["version"]) == (204, 404, 3)
    records = [
        SegmentDefinitionRecord.decode(record.value) for record in await read_all(running.settings, Topic.SEGMENTS)
    ]
    assert [(record.version, record.replaces, record.state.value) for record in records] == [
        (1, 0, "active"),
        (2, 1, "deleted"),
        (3, 2, "active"),
    ]


async def test_a_segment_that_others_use_cannot_be_deleted(running: Running) -> None:
    await create(running)
    await create(running, id="outer", where="in segment pros AND mrr > 5")
    answer = await running.http.delete("/api/v2/segments/pros", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (409, "still_referenced")
    assert "outer" in answer.json()["detail"]


async def test_a_circle_of_references_is_refused_and_nothing_is_written(running: Running) -> None:
    await create(running)
    await create(running, id="outer", where="in segment pros")
    answer = await running.http.put(
        "/api/v2/segments/pros", json={"where": "in segment outer"}, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "reference_cycle"
    assert len(await read_all(running.settings, Topic.SEGMENTS)) == 2


BODIES_THAT_CANNOT_BE_SAVED: list[tuple[dict[str, Any], str]] = [
    ({"id": "Pros!", "where": "plan is Pro"}, "invalid_segment_id"),
    ({"id": "pros"}, "missing_where"),
    ({"id": "pros", "where": "plan is Pro", "nmae": "x"}, "unknown_field"),
    ({"id": "pros", "where": 'mrr > "lots"'}, "expects_number"),
    ({"id": "pros", "where": "in segment nowhere"}, "unknown_segment"),
    ({"id": "pros", "where": "plan is Pro", "state": "deleted"}, "invalid_state"),
    ({"id": "pros", "where": "plan is Pro", "mode": "batch"}, "unknown_mode"),
    ({"id": "pros", "where": "plan is Pro", "name": ""}, "invalid_name"),
]


async def test_what_cannot_be_saved_is_pointed_at(running: Running) -> None:
    for body, code in BODIES_THAT_CANNOT_BE_SAVED:
        answer = await running.http.post("/api/v2/segments", json=body)
        assert answer.status_code == 422, answer.text
        assert code in [error["code"] for error in answer.json()["errors"]]
    assert await read_all(running.settings, Topic.SEGMENTS) == []


async def test_validation_gives_spans_in_text_and_pointers_in_json(running: Running) -> None:
    text = await running.http.post("/api/v2/segments/validate", json={"where": 'plan is Pro AND mrr > "lots"'})
    code = await running.http.post("/api/v2/segments/validate", json={"where": [{"mrr": {"gt": "lots"}}]})
    good = await running.http.post("/api/v2/segments/validate", json={"where": "plan is Pro"})
    assert text.json()["errors"][0]["span"]["line"] == 1
    assert code.json()["errors"][0]["pointer"] == "/where/0/mrr/gt"
    assert (text.status_code, code.status_code, good.status_code) == (422, 422, 200)
    assert await read_all(running.settings, Topic.SEGMENTS) == []


async def test_an_id_can_be_created_only_once(running: Running) -> None:
    await create(running)
    again = await running.http.post("/api/v2/segments", json=SEGMENT)
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")


async def test_a_declaration_settles_where_a_bare_within_looks(running: Running) -> None:
    body = {"where": "review_day within 7d"}
    before = await running.http.post("/api/v2/segments/validate", json=body)
    declared = await running.http.put("/api/v2/attributes/review_day", json={"type": "instant", "direction": "next"})
    after = await running.http.post("/api/v2/segments/validate", json=body)
    assert declared.status_code == 200, declared.text
    assert "within last 7 days" in before.json()["text"]
    assert "within next 7 days" in after.json()["text"]


async def test_what_one_process_saved_is_known_to_the_next_from_its_start(running: Running) -> None:
    created = await create(running)
    token = KeyFile(running.settings.keys_path).create("other", {Scope.SEGMENTS_READ}).token
    async with Ingest.running(running.settings) as other, client_of(other.app, token) as http:
        assert (await http.get("/api/v2/segments/pros")).json() == created.json()
