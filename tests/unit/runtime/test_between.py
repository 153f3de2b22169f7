"""What our processes ask one another goes straight there, also where the environment names a proxy for the way out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from starlette.requests import Request

from deploy.workspace.evaluators import compact_stores
from schemas.evaluator_status import PartitionState, PartitionStatusRecord
from segmentation.model import ContactId, InstantMs
from services.console.forward import Neighbour
from services.console.owners import Owners
from services.console.status import StatusBoard
from services.ingest.evaluation import Evaluation
from services.ingest.imports.contact_lookup import OwnersLookup
from services.runtime.settings import RuntimeSettings


class Answering(BaseHTTPRequestHandler):
    """Every process of ours at once."""

    def do_POST(self) -> None:
        body = b'{"contacts": {"u": {"plan": "pro"}}, "partitions": [0]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A process of ours, where everything else is behind a proxy that does not answer."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), Answering)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


async def of_the_owners(address: str) -> Any:
    board = StatusBoard(1)
    board.owners[0] = PartitionStatusRecord(
        partition=0, state=PartitionState.READY, owner=address, reported_at=InstantMs(0)
    )
    owners = Owners(board, 1)
    try:
        return (await owners.ask(0, "GET", "/contacts"))["contacts"]
    finally:
        await owners.close()


async def of_a_neighbour(address: str) -> Any:
    neighbour = Neighbour("ingest", address)
    scope = {"type": "http", "method": "GET", "raw_path": b"/x", "path": "/x", "query_string": b"", "headers": []}
    try:
        return (await neighbour.ask(Request(scope))).json()["contacts"]
    finally:
        await neighbour.close()


async def of_an_evaluation(address: str) -> Any:
    evaluation = Evaluation(RuntimeSettings(partitions=1, kafka_bootstrap="127.0.0.1:9"))
    evaluation._owners[0] = address
    try:
        return {"u": await evaluation.attributes_of(ContactId("u"), 2.0)}
    finally:
        await evaluation.close()


async def of_a_dry_run(address: str) -> Any:
    lookup = OwnersLookup(RuntimeSettings(partitions=1, kafka_bootstrap="127.0.0.1:9"))
    lookup._owners[0] = address
    try:
        return await lookup.attributes_of([ContactId("u")])
    finally:
        await lookup.close()


async def of_an_operator(address: str) -> Any:
    return {"u": {"plan": "pro"}} if await compact_stores([address]) == [0] else None


@pytest.mark.parametrize("ask", [of_the_owners, of_a_neighbour, of_an_evaluation, of_a_dry_run, of_an_operator])
async def test_what_is_asked_inside_passes_no_proxy(address: str, ask: Callable[[str], Awaitable[Any]]) -> None:
    async with asyncio.timeout(20):
        assert await ask(address) == {"u": {"plan": "pro"}}
