"""What metrics and traces call a route: the path that the reference gives it, whatever becomes of the request."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest

from services.ingest.app import build_app
from services.ingest.attributes import AttributeRoutes
from services.ingest.audit_routes import AuditRoutes
from services.ingest.contacts import ContactRoutes
from services.ingest.guard import Guard
from services.ingest.imports.routes import ImportRoutes
from services.ingest.key_routes import KeyRoutes
from services.ingest.merge_routes import MergeRoutes
from services.ingest.replay_routes import ReplayRoutes
from services.ingest.segments import SegmentRoutes
from services.ingest.traced import TracedRequests
from services.runtime.keys import KeyFile
from services.runtime.metrics import REGISTRY
from services.runtime.rates import Rates

REFERENCE = Path(__file__).parents[3] / "schemas" / "openapi" / "ingest.json"
OPERATIONS = [
    (method.upper(), path)
    for path, item in orjson.loads(REFERENCE.read_bytes())["paths"].items()
    for method in item
    if method in ("get", "post", "put", "patch", "delete")
]


class Span:
    """Keeps nothing of what it is told."""

    def set_attribute(self, name: str, value: object) -> None:
        """Take it."""


class Spans:
    """Takes the place of tracing; keeps what the routes were called."""

    def __init__(self) -> None:
        self.routes: list[str] = []

    def serving(self, method: str, headers: object) -> AbstractContextManager[Span]:
        return nullcontext(Span())

    def served(self, span: Span, method: str, route: str, status: int) -> None:
        self.routes.append(route)


def ingest(folder: Path, spans: Spans) -> TracedRequests:
    """The write API without anything behind it: every request is refused at its route, for want of a key."""
    nothing = cast("Any", None)
    keys = KeyFile(folder / "keys.json")
    guard = Guard(keys, Rates(0, lambda: 0.0))
    routers = [
        MergeRoutes(nothing, guard).router(),
        SegmentRoutes(nothing, guard, nothing).router(),
        AttributeRoutes(nothing, guard, nothing, keys.audit).router(),
        ImportRoutes(nothing, nothing, guard).router(),
        KeyRoutes(keys, guard).router(),
        AuditRoutes(keys.audit, nothing, nothing, guard).router(),
        ReplayRoutes(nothing, nothing, nothing, guard, keys.audit).router(),
    ]
    app = build_app(guard, nothing, lambda: False, ContactRoutes(nothing, nothing, guard), routers)
    return TracedRequests(app, cast("Any", spans))


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("tidegate_requests_total", labels) or 0.0


@pytest.mark.parametrize("repeats", [{}, {"Idempotency-Key": "k"}], ids=["plain", "with an Idempotency-Key"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_route_is_called_by_its_path_in_the_reference(
    tmp_path: Path, method: str, path: str, repeats: dict[str, str]
) -> None:
    spans = Spans()
    transport = httpx.ASGITransport(app=cast("Any", ingest(tmp_path, spans)))
    before = counted(method, path, 401)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        answer = await client.request(method, path.replace("{", "").replace("}", ""), headers=repeats)
    assert answer.status_code == 401
    assert counted(method, path, 401) == before + 1
    assert spans.routes == [path]


async def test_a_path_that_there_is_not_is_called_none(tmp_path: Path) -> None:
    spans = Spans()
    transport = httpx.ASGITransport(app=cast("Any", ingest(tmp_path, spans)))
    before = counted("none", "none", 404)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        assert (await client.get("/api/v2/nothing")).status_code == 404
    assert counted("none", "none", 404) == before + 1
    assert spans.routes == ["none"]
