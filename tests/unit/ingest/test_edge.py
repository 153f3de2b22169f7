"""Requests get ids of which no two are equal, and answers carry them beside what the route said."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from starlette.responses import Response

from services.ingest.edge import UNROUTED, Edge
from services.runtime.metrics import REGISTRY


async def headers_of(*sent: tuple[bytes, bytes], limits: list[tuple[bytes, bytes]] | None = None) -> dict[bytes, bytes]:
    answered: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if limits is not None:
            scope["state"]["limits"] = limits
        await Response(b"ok", headers={"etag": '"1"'})(scope, receive, send)

    async def receive() -> Any:
        raise AssertionError("nobody reads")

    async def send(message: Any) -> None:
        answered.append(message)

    await Edge(app)({"type": "http", "method": "GET", "path": "/", "headers": list(sent)}, receive, send)
    names = [name for name, _ in answered[0]["headers"]]
    assert len(set(names)) == len(names)
    return dict(answered[0]["headers"])


async def test_a_request_without_an_id_gets_one_that_no_other_has() -> None:
    ids = [(await headers_of())[b"x-request-id"] for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(rb"req_[0-9a-f]{24}", made) for made in ids)


async def test_an_id_is_kept_if_it_can_be_logged_and_replaced_if_not() -> None:
    assert (await headers_of((b"x-request-id", b"mine-1")))[b"x-request-id"] == b"mine-1"
    assert (await headers_of((b"x-request-id", b"a\nb")))[b"x-request-id"].startswith(b"req_")


async def test_limits_stand_beside_the_routes_own_headers() -> None:
    headers = await headers_of(limits=[(b"ratelimit", b"r=1")])
    assert (headers[b"etag"], headers[b"ratelimit"]) == (b'"1"', b"r=1")


@pytest.mark.parametrize(("begun", "status"), [([], "503"), ([{"status": 200, "headers": []}], "200")])
async def test_a_request_that_a_stop_cuts_off_counts_as_it_is_answered(begun: list[Any], status: str) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for start in begun:
            await send({"type": "http.response.start", **start})
        raise asyncio.CancelledError

    async def nothing(*_: Any) -> Any:
        """Neither reads nor sends."""

    def counted(of: str) -> float:
        labels = {"method": UNROUTED, "route": UNROUTED, "status": of}
        return REGISTRY.get_sample_value("tidegate_requests_total", labels) or 0

    before = {of: counted(of) for of in (status, "500")}
    with pytest.raises(asyncio.CancelledError):
        await Edge(app)({"type": "http", "method": "GET", "path": "/", "headers": []}, nothing, nothing)
    assert {of: counted(of) - count for of, count in before.items()} == {status: 1, "500": 0}
