"""How every service starts, runs and stops: the same order, signals, admin server and exit codes.

Rule: a service is one coroutine, `main(context)`, that works until `context.stopping` is set and then finishes its work
in hand and returns. This module owns the process around it; it knows neither topics nor segments, and a service never
installs a signal handler, configures logs or exits by itself. The process ends with its main coroutine: what still runs
then is cut off and waited for within a bound only, because after a failed stop some of a library's would never end, and
nobody would start us again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from services.runtime import clock, metrics
from services.runtime.admin import AdminServer
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.health import Health
from services.runtime.logs import configure_logs, get_logger
from services.runtime.settings import RuntimeSettings, Settings, load_settings

if TYPE_CHECKING:
    from services.runtime.tracing import Tracing

EXIT_STOPPED = 0
"""Asked to stop, and everything in hand was finished."""
EXIT_FAILED = 1
"""The service failed or did not stop in time; starting it again is right."""
EXIT_REFUSED = 78
"""What the service found must be repaired by a person first; starting it again changes nothing."""

BEAT_INTERVAL_S = 1.0
CLEANED_UP_WITHIN_S = 10.0
"""How long work that is cut off may take to clean up behind itself, as by giving back at the broker what it claimed."""
LEFT_WITHIN_S = 2.0
"""How long what the work left running may take to end."""

log = get_logger("runtime")

Parts = TypeVar("Parts")


@dataclass
class ServiceContext(Generic[Settings]):
    """What a service's `main` is given."""

    name: str
    settings: Settings
    health: Health = field(default_factory=Health)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tracing: Tracing | None = None

    async def came_about(self, awaited: Coroutine[Any, Any, None]) -> bool:
        """Await what there is to wait for before any work; False, with the waiting ended, when told to stop before.

        Errors: what `awaited` raises.
        """
        waiting = asyncio.create_task(awaited, name="waiting to begin")
        stop = asyncio.create_task(self.stopping.wait(), name="stop before the beginning")
        try:
            await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
            return waiting.done()
        finally:
            for each in (waiting, stop):
                each.cancel()
            await asyncio.gather(waiting, stop, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def running(self, parts: AbstractAsyncContextManager[Parts]) -> AsyncIterator[Parts | None]:
        """Start what a service is made of and stop it at the end; None, with the start ended, when told to stop before.

        Errors: what the start raises.
        """
        begun: list[Parts] = []
        async with contextlib.AsyncExitStack() as stack:

            async def begin() -> None:
                begun.append(await stack.enter_async_context(parts))

            yield begun[0] if await self.came_about(begin()) else None


Main = Callable[[ServiceContext[Settings]], Awaitable[None]]


def run_service(name: str, settings: type[Settings] | Settings, main: Main[Settings]) -> NoReturn:
    """Run a service until it is told to stop, and end the process with the exit code that says how it went.

    `settings` is the settings class, read from the environment here so that an unusable value is one clear line.
    """
    try:
        loaded = settings if isinstance(settings, RuntimeSettings) else load_settings(settings)
    except StartRefusedError as refusal:
        configure_logs(name)
        log.error("start refused", reason=str(refusal))
        sys.exit(EXIT_REFUSED)
    configure_logs(name, loaded.log_format, loaded.log_level)
    # Never closed: that would wait for every task and thread, however long.
    runner = asyncio.Runner(loop_factory=_loop_factory())
    code = runner.run(_supervised(ServiceContext(name, loaded), main))
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


async def _supervised(context: ServiceContext[Settings], main: Main[Settings]) -> int:
    """Run `main` between the admin server's start and stop; return the exit code."""
    settings = context.settings
    try:
        admin = AdminServer(context.name, context.health, settings.admin_host, settings.admin_port)
    except StartRefusedError as refusal:
        log.error("start refused", reason=str(refusal))
        return EXIT_REFUSED
    admin.start()
    context.tracing = _tracing(context)
    _stop_on_signals(context.stopping)
    beating = asyncio.create_task(_beat(context.health), name="heartbeat")
    log.info("started", pid=os.getpid(), admin_port=admin.port)
    try:
        return await _outcome(context, main)
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
        if context.tracing is not None:
            await asyncio.to_thread(context.tracing.close)
        await _leave()
        admin.close()


async def _leave() -> None:
    """Cancel whatever still runs and give it a moment to end. Nothing of ours does after a clean stop."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if not rest:
        return
    for task in rest:
        task.cancel()
    done, _ = await asyncio.wait(rest, timeout=LEFT_WITHIN_S)
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning("a part failed as it was cut off", cut_off=task.get_name(), reason=repr(error))


def _tracing(context: ServiceContext[Settings]) -> Tracing | None:
    """Start tracing if a collector is configured; those who do not trace pay nothing, not even the import."""
    if context.settings.otlp_endpoint is None:
        return None
    from services.runtime.tracing import Tracing

    return Tracing(context.name)


async def _outcome(context: ServiceContext[Settings], main: Main[Settings]) -> int:
    """Await the service, cutting it off when a stop takes longer than its grace; return the exit code."""
    work = asyncio.ensure_future(main(context))
    stop = asyncio.create_task(context.stopping.wait(), name="stop signal")
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            context.health.not_ready("stopping")
            log.info("stopping")
            await asyncio.wait({work}, timeout=context.settings.stop_grace_ms / 1000)
        if not work.done():
            log.error("stop took too long; work in hand is cut off", grace_ms=context.settings.stop_grace_ms)
            work.cancel()
            await asyncio.wait({work}, timeout=CLEANED_UP_WITHIN_S)
            return EXIT_FAILED
        return _exit_code(work)
    finally:
        stop.cancel()


def _exit_code(work: asyncio.Future[None]) -> int:
    """Return the exit code of finished work, and log why when it failed."""
    if work.cancelled():
        log.error("failed", reason="the service's main task was cancelled")
        return EXIT_FAILED
    error = work.exception()
    if error is None:
        log.info("stopped")
        return EXIT_STOPPED
    if isinstance(error, StartRefusedError):
        log.error("start refused", reason=str(error))
        return EXIT_REFUSED
    if isinstance(error, ServiceError):
        log.error("failed", reason=str(error), cause=repr(error.__cause__))
    else:
        log.error("failed", exc_info=error)
    return EXIT_FAILED


async def _beat(health: Health) -> None:
    """Show that the loop turns, and measure how late it does."""
    while True:
        before = clock.monotonic()
        await asyncio.sleep(BEAT_INTERVAL_S)
        health.beat()
        metrics.EVENT_LOOP_LAG_SECONDS.set(max(0.0, clock.monotonic() - before - BEAT_INTERVAL_S))


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's loop where it exists, asyncio's elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
