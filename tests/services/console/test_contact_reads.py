"""Reads of one contact go to the owner of its partition, wherever that is by now."""

from __future__ import annotations

import httpx
import pytest

from tests.services.console.evaluators import NOW, World, contact_in


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


@pytest.mark.parametrize(("contact_id", "encoded"), [(".", b"%2E"), ("..", b"%2E%2E"), ("a..b", b"a..b")])
async def test_an_id_of_dots_alone_is_no_step_in_the_path(world: World, contact_id: str, encoded: bytes) -> None:
    asked: list[bytes] = []

    def owner(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"attributes": {}, "members": {}, "due_ms": None, "clock_ms": NOW})

    world.owner = owner
    answer = await world.get(f"/contacts/{encoded.decode()}")
    assert (answer.status_code, answer.json()["id"]) == (200, contact_id)
    assert asked == [b"/internal/v1/contacts/" + encoded]


async def test_a_moved_partition_is_asked_for_again(world: World) -> None:
    answers = [
        httpx.Response(421),
        httpx.Response(503),
        httpx.Response(200, json={"attributes": {}, "members": {}, "due_ms": None, "clock_ms": None}),
    ]
    world.owner = lambda _request: answers.pop(0)
    assert (await world.get("/contacts/u")).status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/contacts/%FF", "contact_id"),
        ("/contacts/%FF/explain?segment=s", "contact_id"),
        ("/segments/%FF/cost", "segment_id"),
    ],
)
async def test_an_id_that_is_not_utf8_is_named_in_our_words(world: World, path: str, name: str) -> None:
    answer = await world.get(path)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "code": "invalid_utf8",
            "message": f"{name} in the path is not UTF-8",
            "hint": "percent-encode its UTF-8 bytes",
            "pointer": f"/path/{name}",
        }
    ]


async def test_an_id_that_nothing_has_is_repeated_as_far_as_it_helps(world: World) -> None:
    world.owner = lambda _request: httpx.Response(404)
    answer = await world.get("/contacts/" + "x" * 5_000)
    assert answer.status_code == 404
    assert answer.json()["title"] == f"no contact '{'x' * 256}…'"
