"""`GET /api/v2/events`: membership changes and counts as server-sent events, resumable by `Last-Event-ID`.

Rule: after a resume the stream goes on exactly where the named event stood, from any console: what was missed is read
from the log, then the live feed takes over at the position where the reading ended. A reader is told why it is let go,
and is let go when its key is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

import orjson
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from segmentation.model import CauseKind, ChangeKind, SegmentId
from services.console.feed import Asked, Event, Feed, Reader, decode_positions, encode_positions
from services.console.follow import RESUME_RECORDS_MAX, missed, not_ahead, replay
from services.console.problems import not_ready
from services.console.settings import ConsoleSettings
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger
from services.runtime.problems import ProblemError, unavailable

KEEP_OPEN_S: Final = 15.0
"""`alive` is told after this much silence, so that proxies keep the connection and both ends notice a dead one."""
CATCH_UP_S: Final = 60.0
"""How long a reader may have a turn to read what it missed: the turns are few, and others wait for one."""
RETRY_MS: Final = 1_000
ADMITTED_S: Final = 1.0
"""So long an admission holds: whoever has a key that was revoked or has expired is told nothing after that."""

log = get_logger("events")

Ask = Callable[[], Awaitable[object]]
"""Asks whether the reader may read. Raises ProblemError or ServiceError if not."""


def events_router(settings: ConsoleSettings, feed: Feed, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in."""
    router = APIRouter()

    @router.get("/events", dependencies=[Depends(admit)])
    async def events(
        request: Request,
        segment: Annotated[list[str] | None, Query(description="Only these segments; all when absent.")] = None,
        contact: Annotated[list[str] | None, Query(description="Only changes of these contacts.")] = None,
        change: Annotated[ChangeKind | None, Query(description="Only enters, or only exits.")] = None,
        cause: Annotated[list[CauseKind] | None, Query(description="Only changes that these caused.")] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Live membership changes (`change`) and member counts (`counts`)."""
        if not feed.started.is_set():
            raise not_ready("the membership changes are not being read yet")
        named = None if last_event_id is None else decode_positions(last_event_id, settings.partitions)
        if last_event_id is not None and named is None:
            raise ProblemError(400, "bad_event_id", "Last-Event-ID is not an id of this stream", "leave it out")
        asked = Asked(
            None if contact is None else frozenset(contact),
            None if change is None else change.value,
            None if cause is None else frozenset(kind.value for kind in cause),
        )
        reader = feed.join(None if segment is None else frozenset(map(SegmentId, segment)), asked)
        if reader is None:
            raise unavailable("too_many_readers", "too many live readers", "ask again later", retry_after_s=5)
        joined = dict(feed.positions)
        resume = None if named is None else not_ahead(named, joined)
        frames = stream(settings, feed, reader, resume, joined, Admission(partial(admit, request)))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(frames, media_type="text/event-stream", headers=headers)

    return router


class Admission:
    """Whether a reader may still read. What was just admitted is asked again after a while."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._asked_at = clock.monotonic()

    async def refusal(self) -> str | None:
        """Why the reader may read no more; None if it may. Cost: nothing but once a second."""
        now = clock.monotonic()
        if now - self._asked_at < ADMITTED_S:
            return None
        try:
            await self._ask()
        except (ProblemError, ServiceError) as refusal:
            return str(refusal)
        self._asked_at = now
        return None


async def stream(
    settings: ConsoleSettings,
    feed: Feed,
    reader: Reader,
    resume: dict[int, int] | None,
    joined: dict[int, int],
    admission: Admission,
) -> AsyncGenerator[bytes]:
    """What was missed before the reader joined, then what waits for it, until it is let go, refused, or leaves."""
    try:
        async with aclosing(_frames(settings, feed.catching_up, reader, resume, joined)) as frames:
            async for frame in frames:
                reason = await admission.refusal()
                if reason is not None:
                    yield _frame(Event("bye", {"reason": reason}))
                    return
                yield frame
    finally:
        feed.leave(reader)


async def _frames(
    settings: ConsoleSettings,
    catching_up: asyncio.Semaphore,
    reader: Reader,
    resume: dict[int, int] | None,
    joined: dict[int, int],
) -> AsyncGenerator[bytes]:
    yield b"retry: %d\n" % RETRY_MS + _frame(Event("hello", {}, encode_positions(resume or joined)))
    behind = 0 if resume is None else missed(resume, joined)
    if behind > RESUME_RECORDS_MAX:
        yield _frame(Event("restart", {"reason": "too much was missed; read the lists again"}))
    elif resume is not None and behind:  # all readers come back at once when a console was away: most missed nothing
        while not await _in_turn(catching_up):
            yield _frame(Event("alive", {}))
        until = clock.monotonic() + CATCH_UP_S
        try:
            async with aclosing(replay(settings, resume, joined)) as events:
                async for event in events:
                    told = event.data
                    if reader.takes(SegmentId(told["segment_id"]), told["contact_id"], told["change"], told["cause"]):
                        yield _frame(event)
                        if clock.monotonic() > until:
                            yield _frame(Event("bye", {"reason": "too slow: others wait to read what they missed"}))
                            return
        except (KafkaError, OSError) as error:
            log.warning("what a reader missed cannot be read", error=repr(error))
            yield _frame(Event("bye", {"reason": "what was missed cannot be read now; ask again in a moment"}))
            return
        finally:
            catching_up.release()
    while True:
        try:
            waiting = await asyncio.wait_for(reader.waiting.get(), KEEP_OPEN_S)
        except TimeoutError:
            yield _frame(Event("alive", {}))
            continue
        if waiting is None:
            reason = "too slow: events were waiting" if reader.let_go else "the console is stopping"
            yield _frame(Event("bye", {"reason": reason}))
            return
        yield _frame(waiting)


async def _in_turn(turns: asyncio.Semaphore) -> bool:
    """Whether a turn came, which is the caller's to give back, before the reader must hear that there is somebody."""
    try:
        await asyncio.wait_for(turns.acquire(), KEEP_OPEN_S)
    except TimeoutError:
        return False
    return True


def _frame(event: Event) -> bytes:
    identity = f"id: {event.id}\n" if event.id else ""
    return f"{identity}event: {event.name}\n".encode() + b"data: " + orjson.dumps(event.data) + b"\n\n"
