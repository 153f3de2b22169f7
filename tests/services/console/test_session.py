"""A browser logs in with a key, reads in its name, and changes nothing without the session's token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.console.session import COOKIE, forgery_token
from services.runtime.keys import Scope
from tests.services.console.evaluators import World, streamed


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()


async def log_in(world: World, key: str | None = None) -> httpx.Response:
    return await world.http.post("/api/v2/session", json={"key": key or world.key})


async def test_a_key_opens_a_session_whose_cookie_no_script_can_read(world: World) -> None:
    answer = await log_in(world)
    assert answer.status_code == 200
    assert answer.json()["csrf_token"] == forgery_token(world.key)
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert world.key not in answer.text
    assert (await world.http.get("/api/v2/status")).status_code == 200


async def test_behind_tls_the_cookie_is_for_tls_only(world: World) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    answer = await world.http.post("/api/v2/session", json={"key": world.key}, headers=headers)
    assert "secure" in answer.headers["Set-Cookie"].lower()


async def test_an_unknown_key_opens_nothing(world: World) -> None:
    answer = await log_in(world, "tg_unknown")
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_key")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_form_of_another_origin_cannot_log_in(world: World, content_type: str) -> None:
    body = b'{"key": "%s"}' % world.key.encode()
    answer = await world.http.post("/api/v2/session", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"key": 1}', b'{"key": ""}', b'{"key": "\\u00e9"}', b'{"key": "' + b"x" * 2_000 + b'"}'],
)
async def test_a_login_without_a_readable_key_says_what_to_send(world: World, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await world.http.post("/api/v2/session", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_key")
    assert '{"key"' in answer.json()["detail"]


async def test_a_change_by_cookie_alone_is_refused_and_with_the_token_goes_to_ingest_as_the_key(world: World) -> None:
    seen: list[httpx.Request] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(202, {"status": 202})

    world.ingest = ingest
    await log_in(world)
    for token in (None, "", "0" * 64):
        headers = {} if token is None else {"X-CSRF-Token": token}
        answer = await world.http.patch("/api/v2/contacts/u", json={"attributes": {}}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forged")
    assert seen == []
    headers = {"X-CSRF-Token": forgery_token(world.key)}
    answer = await world.http.patch("/api/v2/contacts/u", json={"attributes": {}}, headers=headers)
    assert answer.status_code == 202
    assert seen[0].headers["Authorization"].lower() == f"bearer {world.key}".lower()
    assert "Cookie" not in seen[0].headers


async def test_a_page_reads_in_its_own_session_alone_whichever_key_has_logged_in_since(world: World) -> None:
    page = {"X-CSRF-Token": (await log_in(world)).json()["csrf_token"]}
    assert (await world.http.get("/api/v2/status", headers=page)).status_code == 200
    await log_in(world, world.keys.create("another", list(Scope)).token)
    refused = await world.http.get("/api/v2/status", headers=page)
    assert (refused.status_code, refused.json()["code"]) == (401, "other_session")
    who = await world.http.get("/api/v2/session")
    assert (who.status_code, who.json()["name"]) == (200, "another")


async def test_a_key_in_the_header_needs_no_token_and_is_not_exchanged_for_the_cookies(world: World) -> None:
    seen: list[str] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return streamed(202, {})

    world.ingest = ingest
    await log_in(world)
    other = f"Bearer {world.keys.create('other', [Scope.CONTACTS_WRITE]).token}"
    answer = await world.http.post("/api/v2/contacts", json={}, headers={"Authorization": other})
    assert (answer.status_code, seen) == (202, [other])


async def test_a_revoked_key_ends_its_session(world: World) -> None:
    made = world.keys.create("short", [Scope.SEGMENTS_READ])
    await log_in(world, made.token)
    assert (await world.http.get("/api/v2/session")).json()["name"] == "short"
    world.keys.revoke(made.key.id)
    assert (await world.http.get("/api/v2/session")).status_code == 401
    assert (await world.http.get("/api/v2/status")).status_code == 401


async def test_a_session_may_do_no_more_than_its_key(world: World) -> None:
    await log_in(world, world.keys.create("narrow", [Scope.CONTACTS_READ]).token)
    assert (await world.http.get("/api/v2/status")).status_code == 403


async def test_logging_out_forgets_the_cookie(world: World) -> None:
    await log_in(world)
    answer = await world.http.delete("/api/v2/session", headers={"X-CSRF-Token": forgery_token(world.key)})
    assert answer.status_code == 204
    assert COOKIE not in world.http.cookies
    assert (await world.http.get("/api/v2/session")).status_code == 401
