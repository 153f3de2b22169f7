"""Bodies are bounded together as each, and one that breaks off is nobody's defect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request

from services.ingest import bodies
from services.ingest.bodies import Bodies, Share, read_body, read_json
from services.runtime.problems import ProblemError


def request_of(share: Share, messages: Iterator[dict[str, Any]], *headers: tuple[bytes, bytes]) -> Request:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(messages)

    return Request({"type": "http", "headers": [*headers], "state": {"share": share}}, receive)


def parts(*contents: bytes) -> Iterator[dict[str, Any]]:
    for content in contents:
        yield {"type": "http.request", "body": content, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


async def test_bodies_that_do_not_fit_together_are_read_to_their_end_and_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "BODIES_BYTES_MAX", 100)
    held = Bodies()
    first, second = Share(held), Share(held)
    assert await read_body(request_of(first, parts(b"a" * 40, b"b" * 30))) == b"a" * 40 + b"b" * 30
    unread = parts(b"c" * 20, b"d" * 20, b"e" * 20)
    with pytest.raises(ProblemError) as refused:
        await read_body(request_of(second, unread))
    assert (refused.value.status, refused.value.code) == (503, "busy")
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert next(unread, None) is None
    assert held.held_bytes == 70
    first.give_back()
    assert held.held_bytes == 0
    assert await read_body(request_of(second, parts(b"c" * 100))) == b"c" * 100


async def test_a_body_that_breaks_off_is_the_senders_fault() -> None:
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    with pytest.raises(ProblemError) as refused:
        await read_body(request_of(Share(Bodies()), messages))
    assert (refused.value.status, refused.value.code) == (400, "body_broken_off")


async def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.05)

    def trickle() -> Iterator[dict[str, Any]]:
        while True:
            yield {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(ProblemError) as refused:
        await read_body(request_of(Share(Bodies()), trickle()))
    assert (refused.value.status, refused.value.headers["Connection"]) == (408, "close")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip"])
async def test_a_body_that_says_it_is_packed_is_not_read_as_if_it_were_not(encoding: bytes) -> None:
    held = Bodies()
    unread = parts(b"{}")
    with pytest.raises(ProblemError) as refused:
        await read_json(request_of(Share(held), unread, (b"content-encoding", encoding)))
    assert (refused.value.status, refused.value.code) == (415, "unsupported_encoding")
    assert (next(unread)["body"], held.held_bytes) == (b"{}", 0)
    assert await read_json(request_of(Share(held), parts(b"{}"), (b"content-encoding", b"Identity"))) == {}
