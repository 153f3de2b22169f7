"""A preview is checked by ingest, counted by every owner and summed; only who asks for a part is told one."""

from __future__ import annotations

import httpx
import orjson

from tests.services.console.evaluators import World


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
