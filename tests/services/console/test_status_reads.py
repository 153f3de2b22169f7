"""Who may read, whether everything is served, and which attributes there are."""

from __future__ import annotations

import httpx
import orjson
import pytest

from schemas.evaluator_status import PartitionState
from segmentation.model import SegmentId
from services.console.follow import _take_status
from services.runtime.keys import Scope
from tests.services.console.evaluators import World


@pytest.mark.parametrize("path", ["/contacts/u", "/contacts", "/segments", "/segments/a/members", "/events", "/status"])
async def test_every_read_refuses_a_request_without_a_key(world: World, path: str) -> None:
    answer = await world.http.get(f"/api/v2{path}")
    assert (answer.status_code, answer.json()["code"]) == (401, "no_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_without_the_scope_is_told_which_scope_it_lacks(world: World) -> None:
    token = world.keys.create("narrow", [Scope.CONTACTS_READ]).token
    answer = await world.get("/segments", key=token)
    assert answer.status_code == 403
    assert "segments:read" in answer.json()["title"]


async def test_status_says_whether_every_partition_is_served(world: World) -> None:
    status = (await world.get("/status")).json()
    assert (status["complete"], status["contacts"]) == (True, 20)
    world.serve(1, PartitionState.RECOVERING)
    assert (await world.get("/status")).json()["complete"] is False


async def test_a_probe_tells_an_owner_that_was_killed_from_one_that_serves(world: World) -> None:
    def owner(request: httpx.Request) -> httpx.Response:
        if request.url.host == "owner-1":
            raise httpx.ConnectError("gone", request=request)
        return httpx.Response(200, json={"contacts": [], "next": None})

    world.owner = owner
    assert (await world.get("/status")).json()["complete"] is True
    status = (await world.get("/status", probe="true")).json()
    assert status["complete"] is False
    assert [part["answers"] for part in status["partitions"]] == [True, False]


STRANGE = (
    b'{"kind":"partition","partition":7,"owner":"http://else","state":"ready","reported_at":1,"lag_ms":99}',
    b'{"kind":"segment","segment_id":"a","partition":7,"version":1,"reported_at":1,"members":1}',
    b'{"kind":"segment","segment_id":"a","partition":1,"version":1,"reported_at":1,"members":36893488147419103232}',
    b'{"kind":"segment","segment_id":"a","partition":1,"version":1,"reported_at":1,"settled_percent":NaN}',
    b'{"kind":"segment","segment_id":"a","partition":1,"version":1,"reported_at":1,"settled_percent":1e999}',
    b'{"kind":"else"}',
    b"null",
)


@pytest.mark.parametrize("value", STRANGE)
async def test_a_status_without_sense_is_refused_and_changes_no_count(world: World, value: bytes) -> None:
    world.count("a", 0, 3)
    world.count("a", 1, 4)
    with pytest.raises(ValueError, match=r"no such partition|a count is none|validation error"):
        _take_status(world.board, b"whatever", value)
    count = world.board.count(SegmentId("a"), 1)
    assert (count.members, count.settled_percent, count.lag_ms) == (7, 100.0, 0)


async def test_an_owner_at_no_address_and_an_instant_beyond_all_calendars_are_told_as_they_are(world: World) -> None:
    status = b'{"kind":"partition","partition":1,"owner":"http://[::1","state":"ready","reported_at":%d}' % (1 << 63)
    _take_status(world.board, b"partition|1", status)
    world.owner = lambda _request: httpx.Response(200, json={"contacts": [], "next": None})
    told = (await world.get("/status", probe="true")).json()["partitions"][1]
    assert (told["owner"], told["answers"], told["reported_at"]) == ("http://[::1", False, str(1 << 63))
    answer = await world.get("/contacts")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


async def test_attributes_are_named_from_a_sample_of_every_partition(world: World) -> None:
    held: dict[int, dict[str, dict[str, object]]] = {
        0: {"a": {"plan": "pro", "mrr": 5}},
        1: {"b": {"plan": "free", "tags": ["x", "y"]}, "c": {"plan": "pro"}},
    }

    def owner(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            partition = int(request.url.params["partition"])
            return httpx.Response(200, json={"contacts": list(held[partition]), "next": None, "readings": []})
        asked = orjson.loads(request.content)
        return httpx.Response(
            200, json={"contacts": {name: held[asked["partition"]][name] for name in asked["contact_ids"]}}
        )

    world.owner = owner
    answer = (await world.get("/attributes")).json()
    assert answer["contacts_sampled"] == 3
    shown = ("name", "contacts", "types", "values")
    assert [{name: entry[name] for name in shown} for entry in answer["attributes"]] == [
        {"name": "plan", "contacts": 3, "types": ["text"], "values": ["pro", "free"]},
        {"name": "mrr", "contacts": 1, "types": ["number"], "values": [5]},
        {"name": "tags", "contacts": 1, "types": ["list"], "values": ["x", "y"]},
    ]
