"""Reads are routed to owners, gathered whole or refused, and shaped for people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, SegmentStatusRecord, UnreadableAttribute
from segmentation.model import AttributeName, InstantMs, SegmentId
from services.console import owners
from services.runtime.clock import now_ms
from services.runtime.keys import Scope
from tests.services.console.evaluators import NOW, World, contact_in, streamed


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(owners, "RETRY_PAUSE_S", 0.001)
    made = World(tmp_path)
    made.serve(0)
    made.serve(1)
    yield made
    await made.close()


async def test_a_contact_is_asked_of_the_owner_of_its_partition(world: World) -> None:
    asked: list[str] = []

    def owner(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        body = {"attributes": {"plan": "pro"}, "members": {"b": NOW, "a": NOW + 1}, "due_ms": None, "clock_ms": NOW}
        return httpx.Response(200, json=body)

    world.owner = owner
    contact = contact_in(1)
    answer = await world.get(f"/contacts/{contact}")
    assert asked == [f"http://owner-1/internal/v1/contacts/{contact}"]
    assert answer.json() == {
        "id": contact,
        "attributes": {"plan": "pro"},
        "memberships": [
            {"segment_id": "a", "since": "2026-09-21T14:13:20.001Z"},
            {"segment_id": "b", "since": "2026-09-21T14:13:20.000Z"},
        ],
        "next_deadline": None,
        "as_of": "2026-09-21T14:13:20.000Z",
    }


async def test_a_contact_that_nobody_knows_is_a_404_problem(world: World) -> None:
    world.owner = lambda _request: httpx.Response(404)
    answer = await world.get("/contacts/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_explaining_an_unknown_segment_does_not_blame_the_contact(world: World) -> None:
    world.owner = lambda _request: httpx.Response(404, json={"code": "unknown_segment"})
    answer = await world.get("/contacts/u/explain", segment="nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_segment")
    assert "contact" not in answer.json()["title"]


async def test_an_id_with_a_slash_is_read_by_its_encoded_path(world: World) -> None:
    asked: list[bytes] = []

    def owner(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"attributes": {}, "members": {}, "due_ms": None, "clock_ms": NOW})

    world.owner = owner
    assert (await world.get("/contacts/a%2Fb%20c")).json()["id"] == "a/b c"
    assert asked == [b"/internal/v1/contacts/a%2Fb%20c"]


async def test_a_moved_partition_is_asked_for_again(world: World) -> None:
    answers = [
        httpx.Response(421),
        httpx.Response(503),
        httpx.Response(200, json={"attributes": {}, "members": {}, "due_ms": None, "clock_ms": None}),
    ]
    world.owner = lambda _request: answers.pop(0)
    assert (await world.get("/contacts/u")).status_code == 200


async def test_a_recovering_partition_is_a_503_with_retry_after(world: World) -> None:
    world.serve(0, PartitionState.RECOVERING)
    world.owner = lambda _request: httpx.Response(200, json={"members": [], "next": None, "known": True})
    answer = await world.get("/segments/a/members")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "partition 0" in answer.json()["detail"]


async def test_an_owner_that_does_not_answer_is_a_503_and_never_a_partial_answer(world: World) -> None:
    def owner(request: httpx.Request) -> httpx.Response:
        if request.url.host == "owner-1":
            raise httpx.ConnectError("gone", request=request)
        return httpx.Response(
            200, json={"members": [{"contact_id": "u", "since_ms": NOW}], "next": None, "known": True}
        )

    world.owner = owner
    answer = await world.get("/segments/a/members")
    assert answer.status_code == 503
    assert "members" not in answer.json()


async def test_members_of_all_partitions_are_one_ordered_page_with_a_cursor(world: World) -> None:
    held = {"owner-0": ["a", "c", "e"], "owner-1": ["b", "d"]}

    def owner(request: httpx.Request) -> httpx.Response:
        after, limit = request.url.params.get("after", ""), int(request.url.params["limit"])
        found = [name for name in held[request.url.host] if name > after]
        page = [{"contact_id": name, "since_ms": NOW} for name in found[:limit]]
        following = page[-1]["contact_id"] if found[limit:] else None
        return httpx.Response(200, json={"members": page, "next": following, "known": True})

    world.owner = owner
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await world.get("/segments/s/members", limit=2, **({"after": after} if after else {}))).json()
        seen += [member["contact_id"] for member in page["members"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["a", "b", "c", "d", "e"]


async def test_changes_of_all_partitions_are_newest_first(world: World) -> None:
    def owner(request: httpx.Request) -> httpx.Response:
        partition = int(request.url.params["partition"])
        changes = [
            {"segment_id": "s", "segment_version": 1, "contact_id": f"u{partition}", "change": "enter",
             "at": NOW + at * 10 + partition, "offset": at, "cause": {"kind": "write"}}
            for at in (2, 1)
        ]  # fmt: skip
        return httpx.Response(200, json={"changes": changes, "next": None, "known": True})

    world.owner = owner
    listed = (await world.get("/segments/s/changes", limit=3)).json()["changes"]
    assert [(change["contact_id"], change["at"][-5:]) for change in listed] == [
        ("u1", ".021Z"),
        ("u0", ".020Z"),
        ("u1", ".011Z"),
    ]


async def test_a_segment_list_carries_counts_only_when_every_partition_has_told(world: World) -> None:
    world.ingest = lambda _request: httpx.Response(
        200, json={"segments": [{"id": "a", "version": 1}, {"id": "b", "version": 1}]}
    )
    world.count("a", 0, 3)
    world.count("a", 1, 4)
    world.count("b", 0, 5)
    listed = {entry["id"]: entry for entry in (await world.get("/segments")).json()["segments"]}
    assert (listed["a"]["members"], listed["a"]["settling"]) == (7, False)
    assert (listed["b"]["members"], listed["b"]["settling"]) == (None, True)


async def test_a_segment_whose_newest_version_is_not_everywhere_is_settling(world: World) -> None:
    world.ingest = lambda _request: httpx.Response(200, json={"id": "a", "version": 2}, headers={"ETag": '"2"'})
    world.count("a", 0, 3, version=2)
    world.count("a", 1, 4, version=1)
    answer = await world.get("/segments/a")
    assert answer.headers["ETag"] == '"2"'
    assert (answer.json()["members"], answer.json()["settling"], answer.json()["settled_percent"]) == (7, True, 50.0)


async def test_a_preview_is_checked_by_ingest_and_summed_over_partitions(world: World) -> None:
    canonical = {"plan": {"is": "pro"}}

    def owner(request: httpx.Request) -> httpx.Response:
        assert orjson.loads(request.content)["where"] == canonical
        return counted(int(request.url.params["partition"]), complete=True)

    world.owner = owner
    world.ingest = lambda _request: httpx.Response(200, json={"where": canonical})
    answer = await world.post("/segments/preview", {"where": "plan is pro"})
    assert answer.json() == {
        "matched": 3, "counted": 20, "total": 20, "complete": True, "sample": ["u0", "u1"],
        "would_enter": 1, "would_leave": 0,
    }  # fmt: skip


async def test_a_preview_waits_until_every_partition_has_counted_every_contact(world: World) -> None:
    asked: list[int] = []

    def owner(request: httpx.Request) -> httpx.Response:
        partition = int(request.url.params["partition"])
        asked.append(partition)
        return counted(partition, complete=partition == 0 or asked.count(1) == 3)

    world.owner = owner
    world.ingest = lambda _request: httpx.Response(200, json={"where": {}})
    answer = await world.post("/segments/preview", {"where": "plan is pro"})
    assert (answer.json()["complete"], answer.json()["counted"], asked.count(1)) == (True, 20, 3)
    world.owner = lambda request: counted(int(request.url.params["partition"]), complete=False)
    answer = await world.post("/segments/preview", {"where": "plan is pro"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_only_who_says_how_long_to_wait_is_told_a_part_and_that_it_is_one(world: World) -> None:
    waits: list[int] = []

    def owner(request: httpx.Request) -> httpx.Response:
        waits.append(orjson.loads(request.content)["within_ms"])
        partition = int(request.url.params["partition"])
        return counted(partition, complete=partition == 0)

    world.owner = owner
    world.ingest = lambda _request: httpx.Response(200, json={"where": {}})
    answer = (await world.post("/segments/preview?within_ms=700", {"where": "plan is pro"})).json()
    assert (answer["complete"], answer["counted"], answer["total"], waits) == (False, 14, 20, [700, 700])


def counted(partition: int, complete: bool) -> httpx.Response:
    """One partition's part of a preview."""
    numbers = {"matched": partition + 1, "counted": 10 if complete else 4, "total": 10, "would_leave": 0}
    sample = [f"u{partition}"]
    return httpx.Response(200, json={**numbers, "would_enter": partition, "complete": complete, "sample": sample})


async def test_a_refused_expression_comes_back_from_preview_as_ingest_said_it(world: World) -> None:
    refused = {"title": "cannot be read", "errors": [{"code": "expects_number"}]}
    world.ingest = lambda _request: httpx.Response(422, json=refused)
    answer = await world.post("/segments/preview", {"where": "mrr >"})
    assert (answer.status_code, answer.json()) == (422, refused)


async def test_writes_pass_to_ingest_unchanged_and_its_answer_back(world: World) -> None:
    seen: list[httpx.Request] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(202, {"receipts": []}, {"X-Request-Id": "req_1"})

    world.ingest = ingest
    body = {"contacts": [{"id": "u", "attributes": {"plan": "pro"}}]}
    answer = await world.post("/contacts", body)
    assert (answer.status_code, answer.json(), answer.headers["X-Request-Id"]) == (202, {"receipts": []}, "req_1")
    assert orjson.loads(seen[0].read()) == body
    assert seen[0].headers["Authorization"] == f"Bearer {world.key}"
    assert seen[0].url.path == "/api/v2/contacts"


async def test_an_escaped_contact_id_reaches_ingest_as_it_was_sent(world: World) -> None:
    seen: list[bytes] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return streamed(202, {})

    world.ingest = ingest
    await world.http.request("DELETE", "/api/v2/contacts/a%2Fb%20c?x=%26", headers={"Authorization": "Bearer k"})
    assert seen == [b"/api/v2/contacts/a%2Fb%20c?x=%26"]


async def test_ingest_away_is_a_503_with_retry_after(world: World) -> None:
    def ingest(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    world.ingest = ingest
    answer = await world.post("/contacts", {"id": "u", "attributes": {}})
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "ingest_away", "1")


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


async def test_a_brief_list_leaves_out_the_long_forms_and_tells_the_last_hour(world: World) -> None:
    entry = {"id": "a", "version": 1, "text": 'plan is "pro"', "where": {"plan": "pro"}, "english": "…", "advice": []}
    world.ingest = lambda _request: httpx.Response(200, json={"segments": [entry]})
    world.hour.change(SegmentId("a"), entered=True, now=now_ms())
    whole = (await world.get("/segments")).json()["segments"][0]
    brief = (await world.get("/segments", brief="true")).json()["segments"][0]
    assert whole.keys() - brief.keys() == {"where", "english", "advice"}
    assert brief["last_hour"]["entered"] == 1


async def test_unreadable_values_are_summed_by_attribute_over_partitions(world: World) -> None:
    world.ingest = lambda _request: httpx.Response(200, json={"segments": [{"id": "a", "version": 1}]})
    for partition, sample in ((0, None), (1, "lots")):
        world.board.take(
            SegmentStatusRecord(
                segment_id=SegmentId("a"),
                partition=partition,
                version=1,
                reported_at=InstantMs(NOW),
                unreadable=[
                    UnreadableAttribute(attribute=AttributeName("mrr"), reading="number", count=2, sample=sample),
                    UnreadableAttribute(
                        attribute=AttributeName("seen"), reading="instant", count=0, settling=partition == 1
                    ),
                ],
            )
        )
    segment = (await world.get("/segments")).json()["segments"][0]
    assert segment["unreadable"] == 4
    assert segment["unreadable_attributes"] == [
        {"attribute": "mrr", "reading": "number", "count": 4, "sample": "lots", "settling": False}
    ]
    assert segment["unreadable_settling"] is True


async def test_a_count_is_as_of_when_every_owner_last_reported(world: World) -> None:
    world.ingest = lambda _request: httpx.Response(200, json={"id": "a", "version": 1})
    world.count("a", 0, 3)
    assert (await world.get("/segments/a")).json()["as_of"] is None
    world.count("a", 1, 4)
    assert (await world.get("/segments/a")).json()["as_of"] == "2026-09-21T14:13:20.000Z"
    for partition, lag_ms in ((0, 0), (1, 700)):
        world.board.take(
            PartitionStatusRecord(
                partition=partition,
                owner=f"http://owner-{partition}",
                state=PartitionState.READY,
                reported_at=InstantMs(NOW + 5_000 + partition),
                lag_ms=lag_ms,
            )
        )
    segment = (await world.get("/segments/a")).json()
    assert (segment["as_of"], segment["lag_ms"]) == ("2026-09-21T14:13:25.000Z", 700)


async def test_webhooks_are_passed_on_to_their_service_and_are_a_404_where_there_is_none(
    world: World, tmp_path: Path
) -> None:
    none = await world.http.get("/api/v2/webhooks", headers={"Authorization": f"Bearer {world.key}"})
    assert (none.status_code, none.json()["code"]) == (404, "no_webhooks")
    asked: list[tuple[str, str, str]] = []

    def service(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.raw_path.decode(), request.headers["Idempotency-Key"]))
        return streamed(201, {"id": "wh_1"}, {"RateLimit": "x"})

    with_webhooks = World(tmp_path / "with", webhooks=service)
    headers = {"Authorization": f"Bearer {with_webhooks.key}", "Idempotency-Key": "k"}
    made = await with_webhooks.http.post("/api/v2/webhooks", json={"url": "https://x"}, headers=headers)
    await with_webhooks.http.post("/api/v2/webhooks/wh_1/failures/f%2F1/replay", headers=headers)
    assert (made.status_code, made.json(), made.headers["RateLimit"]) == (201, {"id": "wh_1"}, "x")
    assert asked == [
        ("POST", "/api/v2/webhooks", "k"),
        ("POST", "/api/v2/webhooks/wh_1/failures/f%2F1/replay", "k"),
    ]
    await with_webhooks.close()
