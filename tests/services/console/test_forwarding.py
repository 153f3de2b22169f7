"""What other services answer goes through as it is, both ways; where there is none, a problem says so."""

from __future__ import annotations

from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import Request

from services.console.forward import Ingest
from tests.services.console.evaluators import World, streamed


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
    headers = {"Authorization": f"Bearer {world.key}"}
    await world.http.request("DELETE", "/api/v2/contacts/a%2Fb%20c?x=%26", headers=headers)
    assert seen == [b"/api/v2/contacts/a%2Fb%20c?x=%26"]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (b"/api/v2/imports/../keys", b"/api/v2/imports/%2E%2E/keys"),
        (b"/api/v2/contacts/..", b"/api/v2/contacts/%2E%2E"),
        (b"/api/v2/contacts/.", b"/api/v2/contacts/%2E"),
        (b"/api/v2/../../x", b"/api/v2/%2E%2E/%2E%2E/x"),
        (b"/api/v2/contacts/..a/.../%2e%2e", b"/api/v2/contacts/..a/.../%2e%2e"),
    ],
)
async def test_dots_in_a_path_are_no_steps_to_another_one(sent: bytes, asked: bytes) -> None:
    seen: list[bytes] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return streamed(202, {})

    neighbour = Ingest("http://ingest", httpx.MockTransport(ingest))
    scope = {"type": "http", "method": "DELETE", "raw_path": sent, "query_string": b"", "headers": []}
    assert (await neighbour.forward(Request(scope))).status_code == 202
    await neighbour.close()
    assert seen == [asked]


async def test_headers_reach_ingest_byte_by_byte_also_those_that_are_not_ascii(world: World) -> None:
    seen: list[tuple[str, list[bytes]]] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        wanted = [value for name, value in request.headers.raw if name.lower() == b"idempotency-key"]
        seen.append((request.method, wanted))
        return streamed(200, {"segments": []})

    world.ingest = ingest
    headers = {b"Authorization": f"Bearer {world.key}".encode(), b"Idempotency-Key": "é".encode()}
    for method, path in (("GET", "segments"), ("POST", "contacts"), ("DELETE", "keys/1")):
        answer = await world.http.request(method, f"/api/v2/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
    assert seen == [(method, ["é".encode()]) for method in ("GET", "POST", "DELETE")]


async def test_headers_that_come_more_than_once_reach_ingest_as_often_and_those_of_the_connection_do_not(
    world: World,
) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append([pair for pair in request.headers.raw if pair[0].lower() in (b"prefer", b"x-hop", b"x-end")])
        return streamed(200, {"segments": []})

    world.ingest = ingest
    said = [(b"Prefer", b"wait=2"), (b"Prefer", b"handling=strict"), (b"X-Hop", b"1"), (b"X-End", b"2")]
    headers = [(b"Authorization", f"Bearer {world.key}".encode()), (b"Connection", b"close, X-Hop"), *said]
    for method, path in (("POST", "contacts"), ("GET", "segments")):
        await world.http.request(method, f"/api/v2/{path}", headers=headers)
    assert seen == [[(b"prefer", b"wait=2"), (b"prefer", b"handling=strict"), (b"x-end", b"2")]] * 2


async def test_ingest_away_is_a_503_with_retry_after(world: World) -> None:
    def ingest(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    world.ingest = ingest
    answer = await world.post("/contacts", {"id": "u", "attributes": {}})
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "ingest_away", "1")


@pytest.mark.parametrize(
    ("method", "error", "told"),
    [
        ("POST", httpx.ConnectError, "nothing was changed"),
        ("POST", httpx.PoolTimeout, "nothing was changed"),
        ("POST", httpx.ReadTimeout, "it may have been carried out"),
        ("DELETE", httpx.ReadError, "it may have been carried out"),
        ("GET", httpx.ReadTimeout, "nothing was changed"),
    ],
)
async def test_a_write_that_was_sent_and_not_answered_is_not_said_to_have_changed_nothing(
    world: World, method: str, error: type[httpx.TransportError], told: str
) -> None:
    def ingest(request: httpx.Request) -> httpx.Response:
        raise error("", request=request)

    world.ingest = ingest
    answer = await world.http.request(method, "/api/v2/keys", headers={"Authorization": f"Bearer {world.key}"})
    assert (answer.status_code, answer.json()["detail"].partition(" (")[0]) == (503, told)


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
