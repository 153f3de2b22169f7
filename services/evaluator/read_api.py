"""The internal read API: what the committed state of this process's partitions answers, over HTTP, for our services.

Rule: never public, so it knows no keys; a partition that is being recovered answers 503 with Retry-After, one that is
worked elsewhere 421, and the caller looks the owner up again. Instants are epoch milliseconds. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from urllib.parse import unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.partitioner import partition_for
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.source import parse_where
from segmentation.model import ContactId, InstantMs, SegmentId, SegmentState
from services.evaluator import reads
from services.evaluator.asof import membership_as_of
from services.evaluator.outcomes import TooManyWaitersError
from services.evaluator.reads import ServedPartition
from services.evaluator.serving import Serving
from services.runtime import clock

BASE = "/internal/v1"
PAGE_DEFAULT = 100
RETRY_AFTER_S = 1
WAIT_MAX_MS = 30_000
WAIT_OFFSETS_MAX = 1_000
BODY_BYTES_MAX = 5 << 20
UNSAVED = SegmentId("unsaved")

Handler = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def create_read_api(
    serving: Serving, partitions: int, more: Callable[[str], Sequence[Route]] = lambda _base: ()
) -> ASGIApp:
    """The ASGI application, with `more` routes under the same base."""
    api = _ReadApi(serving, partitions)
    routes: Sequence[tuple[str, str, Handler]] = (
        ("GET", "/contacts", api.list_contacts),
        ("GET", "/contacts/{contact_id}/changes", api.contact_changes),
        ("GET", "/contacts/{contact_id}/explain", api.explain),
        ("GET", "/contacts/{contact_id}/membership", api.membership),
        ("GET", "/contacts/{contact_id}", api.contact),
        ("POST", "/attributes", api.attributes),
        ("GET", "/counts", api.counts),
        ("GET", "/unreadable", api.unreadable),
        ("GET", "/segments/{segment_id}/cost", api.cost),
        ("GET", "/segments/{segment_id}/members", api.members),
        ("GET", "/segments/{segment_id}/changes", api.segment_changes),
        ("POST", "/preview", api.preview),
        ("POST", "/outcomes", api.outcomes),
    )
    app = Starlette(
        routes=[*(Route(BASE + path, handler, methods=[method]) for method, path, handler in routes), *more(BASE)],
        exception_handlers={RefusedError: _refused},
    )

    async def on_encoded_path(scope: Scope, receive: Receive, send: Send) -> None:
        """Route on the path as sent, so that a contact id may hold an encoded slash."""
        await app({**scope, "path": scope["raw_path"].decode("ascii")}, receive, send)

    return on_encoded_path


class _ReadApi:
    def __init__(self, serving: Serving, partitions: int) -> None:
        self._serving = serving
        self._partitions = partitions

    async def contact(self, request: Request) -> Response:
        contact_id, served = self._contact_of(request)
        contact = reads.read_contact(served, contact_id)
        if contact is None:
            raise _unknown_contact()
        return _json(
            {
                "contact_id": contact_id,
                "partition": served.partition.index,
                "attributes": contact.attributes,
                "members": contact.members,
                "due_ms": contact.due,
                "clock_ms": served.partition.clock,
                "offset": contact.position.offset,
            }
        )

    async def explain(self, request: Request) -> Response:
        contact_id, served = self._contact_of(request)
        contact = reads.read_contact(served, contact_id)
        if contact is None:
            raise _unknown_contact()
        segment = served.partition.definitions.catalogue.segments.get(
            SegmentId(request.query_params.get("segment", ""))
        )
        if segment is None:
            raise _unknown_segment()
        return _json(reads.explain(served, contact_id, contact, segment))

    async def contact_changes(self, request: Request) -> Response:
        contact_id, served = self._contact_of(request)
        return _changes(*reads.contact_changes(served, contact_id, _cursor(request), _limit(request)))

    async def membership(self, request: Request) -> Response:
        """Query: `segment`, and perhaps `at` in epoch milliseconds: was the contact in it then, from the history kept.

        Without `at` it speaks of the latest instant that it can, and says which.
        """
        contact_id, served = self._contact_of(request)
        query = request.query_params
        segment_id, at = SegmentId(query.get("segment", "")), query.get("at")
        if not reads.is_known(served, segment_id):
            raise _unknown_segment()
        if at is not None and not reads.is_whole(at):
            raise RefusedError(400, "invalid_at", "`at` must be an instant in epoch milliseconds")
        partition = served.partition
        told = membership_as_of(
            served.store,
            partition.definitions,
            contact_id,
            segment_id,
            InstantMs(int(at)) if at is not None else None,
            partition.clock if not partition.changed_contacts else None,
        )
        if told is None:
            raise _unknown_contact()
        instant, found = told
        return _json(
            {
                "at_ms": instant,
                "member": found.member,
                "since_ms": found.since,
                "unknown": found.unknown,
                "known_from_ms": found.known_from,
            }
        )

    async def attributes(self, request: Request) -> Response:
        """Body: `{"partition": 3, "contact_ids": ["u1", …]}`; contacts that do not exist are left out."""
        body = await _body(request)
        served = self._served(_whole(body.get("partition"), "partition", self._partitions - 1))
        contact_ids = body.get("contact_ids")
        if not isinstance(contact_ids, list) or not all(isinstance(each, str) for each in contact_ids):
            raise RefusedError(400, "invalid_contact_ids", "`contact_ids` must be a list of texts")
        if len(contact_ids) > reads.PAGE_MAX:
            raise RefusedError(400, "invalid_contact_ids", f"at most {reads.PAGE_MAX} contacts are read at once")
        return _json({"contacts": reads.attributes_of(served, [ContactId(each) for each in contact_ids])})

    async def list_contacts(self, request: Request) -> Response:
        limit = _limit(request)
        query = request.query_params
        found = reads.list_contacts(self._partition_of(request), query.get("prefix", ""), query.get("after", ""), limit)
        return _json({"contacts": found, "next": found[-1] if len(found) == limit else None})

    async def counts(self, request: Request) -> Response:
        del request
        partitions = {str(index): reads.counts(served) for index, served in self._serving.served.items()}
        return _json({"partitions": partitions})

    async def members(self, request: Request) -> Response:
        limit = _limit(request)
        segment_id = SegmentId(unquote(request.path_params["segment_id"]))
        after = request.query_params.get("after", "")
        found = reads.list_members(self._partition_of(request), segment_id, after, limit)
        members = [{"contact_id": contact_id, "since_ms": since} for contact_id, since in found]
        following = found[-1][0] if len(found) == limit else None
        return _json(
            {"members": members, "next": following, "known": reads.is_known(self._partition_of(request), segment_id)}
        )

    async def segment_changes(self, request: Request) -> Response:
        segment_id = SegmentId(unquote(request.path_params["segment_id"]))
        served = self._partition_of(request)
        records, following = reads.segment_changes(served, segment_id, _cursor(request), _limit(request))
        return _changes(records, following, known=reads.is_known(served, segment_id))

    async def unreadable(self, request: Request) -> Response:
        return _json({"readings": reads.unreadable(self._partition_of(request))})

    async def cost(self, request: Request) -> Response:
        served = self._partition_of(request)
        segment_id = SegmentId(unquote(request.path_params["segment_id"]))
        segment = served.partition.definitions.catalogue.segments.get(segment_id)
        if segment is None:
            raise _unknown_segment()
        evaluation_us, contacts = reads.evaluation_cost(served, segment, clock.monotonic)
        return _json({"evaluation_us": evaluation_us, "contacts": contacts})

    async def preview(self, request: Request) -> Response:
        """Body: `{"where": …, "segment_id": …, "within_ms": …}`.

        The segment is the saved one to compare with. Without `within_ms` everything is counted. Both are optional.
        """
        served = self._partition_of(request)
        body = await _body(request)
        saved = SegmentId(body["segment_id"]) if isinstance(body.get("segment_id"), str) else None
        segment = _compile(saved, body.get("where"))
        index = served.partition.index
        within = body.get("within_ms")
        patience_s = None if within is None else _whole(within, "within_ms", WAIT_MAX_MS) / 1_000
        found = await served.previews.preview(segment, saved, patience_s)
        if self._serving.served.get(index) is not served:
            raise self._elsewhere(index)
        return _json(
            {
                "matched": found.matched,
                "counted": found.counted,
                "total": found.total,
                "complete": found.is_complete,
                "sample": found.sample,
                "would_enter": found.would_enter,
                "would_leave": found.would_leave,
            }
        )

    async def outcomes(self, request: Request) -> Response:
        """Body: `{"partition": 3, "offsets": [17, 18], "timeout_ms": 2000}`: wait until all are committed."""
        body = await _body(request)
        served = self._served(_whole(body.get("partition"), "partition", self._partitions - 1))
        offsets = body.get("offsets")
        if not isinstance(offsets, list) or not 0 < len(offsets) <= WAIT_OFFSETS_MAX:
            raise RefusedError(400, "invalid_offsets", f"`offsets` must be a list of 1 to {WAIT_OFFSETS_MAX} offsets")
        wanted = [_whole(offset, "offsets", 1 << 62) for offset in offsets]
        timeout_ms = _whole(body.get("timeout_ms", 0), "timeout_ms", WAIT_MAX_MS)
        try:
            await served.outcomes.wait_for(max(wanted), timeout_ms / 1_000)
        except TooManyWaitersError:
            raise RefusedError(503, "too_many_waiters", "too many requests wait", _retry_after()) from None
        found = served.outcomes.outcomes(wanted)
        index = served.partition.index
        if self._serving.served.get(index) is not served and not all(outcome.committed for outcome in found):
            raise self._elsewhere(index)
        results = b",".join(
            b'{"offset":%d,"committed":%s,"changes":%s}'
            % (
                outcome.offset,
                b"true" if outcome.committed else b"false",
                b"null"
                if outcome.changes is None
                else b"[" + b",".join(reads.as_record(change, served) for change in outcome.changes) + b"]",
            )
            for outcome in found
        )
        return Response(b'{"outcomes":[' + results + b"]}", media_type="application/json")

    def _contact_of(self, request: Request) -> tuple[ContactId, ServedPartition]:
        contact_id = ContactId(unquote(request.path_params["contact_id"]))
        return contact_id, self._served(partition_for(contact_id, self._partitions))

    def _partition_of(self, request: Request) -> ServedPartition:
        text = request.query_params.get("partition", "")
        return self._served(_whole(int(text) if reads.is_whole(text) else None, "partition", self._partitions - 1))

    def _served(self, index: int) -> ServedPartition:
        served = self._serving.served.get(index)
        if served is None:
            raise self._elsewhere(index)
        return served

    def _elsewhere(self, index: int) -> RefusedError:
        if index in self._serving.recovering:
            return RefusedError(503, "recovering", f"partition {index} is being recovered", _retry_after())
        return RefusedError(421, "not_owner", f"partition {index} is worked by another evaluator")


def _compile(segment_id: SegmentId | None, where: object) -> CompiledSegment:
    parsed = parse_where(where, AttributeCatalogue.empty())
    if isinstance(parsed, Rejection):
        raise RefusedError(422, "invalid_where", "; ".join(problem.message for problem in parsed.problems))
    return compile_segment(segment_id or UNSAVED, 0, SegmentState.ACTIVE, parsed)


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            raise RefusedError(413, "too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "invalid_json", str(error)) from error
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_json", "the body must be a JSON object")
    return cast("dict[str, Any]", body)


def _whole(value: object, name: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise RefusedError(400, f"invalid_{name}", f"`{name}` must be a whole number from 0 to {most}")
    return value


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE_DEFAULT))
    limit = _whole(int(text) if reads.is_whole(text) else None, "limit", reads.PAGE_MAX)
    return max(1, limit)


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _changes(records: Sequence[bytes], following: str | None, *, known: bool = True) -> Response:
    rest = orjson.dumps({"next": following, "known": known})
    return Response(b'{"changes":[' + b",".join(records) + b"]," + rest[1:], media_type="application/json")


def _cursor(request: Request) -> reads.ChangeCursor | None:
    text = request.query_params.get("after", "")
    cursor = reads.ChangeCursor.decode(text)
    if text and cursor is None:
        raise RefusedError(422, "invalid_cursor", "`after` must be the `next` of a page, or left out")
    return cursor


def _unknown_contact() -> RefusedError:
    return RefusedError(404, "unknown_contact", "no such contact")


def _unknown_segment() -> RefusedError:
    return RefusedError(404, "unknown_segment", "no such segment is in force; `segment` or the path names it")


def _retry_after() -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_S)}


async def _refused(_request: Request, error: Exception) -> Response:
    await asyncio.sleep(0)
    if not isinstance(error, RefusedError):
        raise error
    content = orjson.dumps({"code": error.code, "message": str(error)})
    return Response(content, error.status, headers=error.headers, media_type="application/json")
