"""What is asked of every partition is whole and ordered, or refused; a segment's counts say what they are of."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.types import Message

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, SegmentStatusRecord, UnreadableAttribute
from segmentation.model import AttributeName, InstantMs, SegmentId
from services.console.instants import rfc3339
from services.runtime.clock import now_ms
from tests.services.console.evaluators import NOW, PARTITIONS, World


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


async def test_an_owner_that_answers_nothing_in_time_is_asked_once_unless_the_partition_moves(world: World) -> None:
    asked: list[str] = []

    def frozen(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        raise httpx.ReadTimeout("", request=request)

    world.owner = frozen
    answer = await world.get("/contacts/u")
    assert (answer.status_code, len(asked)) == (503, 1)
    assert "does not answer (ReadTimeout)" in answer.json()["detail"]

    def moves(request: httpx.Request) -> httpx.Response:
        if request.url.host == asked[0]:
            for partition in range(PARTITIONS):
                world.board.owners[partition] = world.board.owners[partition].model_copy(
                    update={"owner": "http://owner-2"}
                )
            raise httpx.ReadTimeout("", request=request)
        return httpx.Response(200, json={"attributes": {}, "members": {}, "due_ms": None, "clock_ms": None})

    world.owner = moves
    assert (await world.get("/contacts/u")).status_code == 200


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


@pytest.mark.parametrize("name", ["..", "%2E%2E", "A"])
@pytest.mark.parametrize("rest", ["members", "changes", "cost"])
async def test_what_no_segment_can_be_named_is_404_and_asked_of_nobody(world: World, name: str, rest: str) -> None:
    asked: list[httpx.URL] = []

    def owner(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(404, json={})

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    world.owner = owner
    sent: list[Message] = []
    # Past the client, which would take the steps of the path itself.
    scope = {
        "type": "http",
        "method": "GET",
        "path": "",
        "raw_path": f"/api/v2/segments/{name}/{rest}".encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {world.key}".encode())],
    }
    await world.app(scope, receive, send)
    assert (sent[0]["status"], asked) == (404, [])


async def test_a_segment_whose_name_is_encoded_more_than_it_need_be_is_the_same_everywhere(world: World) -> None:
    asked: set[str] = set()

    def owner(request: httpx.Request) -> httpx.Response:
        asked.add(request.url.path.rpartition("/")[0])
        empty: dict[str, Any] = {
            "members": [],
            "changes": [],
            "next": None,
            "known": True,
            "evaluation_us": 1.0,
            "contacts": 1,
        }
        return httpx.Response(200, json=empty)

    world.owner = owner
    world.ingest = lambda _request: httpx.Response(200, json={"id": "a-b", "version": 1})
    world.hour.change(SegmentId("a-b"), True, now_ms())
    for rest in ("members", "changes", "cost"):
        answer = await world.get(f"/segments/%61%2Db/{rest}")
        assert answer.status_code == 200, rest
    assert asked == {"/internal/v1/segments/a-b"}
    assert (await world.get("/segments/%61%2Db")).json()["last_hour"]["entered"] == 1
    assert (await world.get("/segments/%FF/members")).status_code == 422


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


async def test_a_segment_says_when_the_last_of_its_parts_is_expected_to_have_settled(world: World) -> None:
    world.ingest = lambda _request: httpx.Response(200, json={"id": "a", "version": 1})
    world.count("a", 0, 3, settling=True, settles_at=NOW + 2_000)
    world.count("a", 1, 4, settling=True)
    assert (await world.get("/segments/a")).json()["settles_at"] is None
    world.count("a", 1, 4, settling=True, settles_at=NOW + 9_000)
    assert (await world.get("/segments/a")).json()["settles_at"] == rfc3339(NOW + 9_000)
    world.count("a", 1, 4)
    assert (await world.get("/segments/a")).json()["settles_at"] == rfc3339(NOW + 2_000)


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
