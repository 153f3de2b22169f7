"""The evaluator process: verify the topics, join the group, work until told to stop.

Rule: every part runs in this one loop and ends with it; the first failure of any part is the process's failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from schemas.topics import Topic, topic_name
from services.evaluator.garbage import collect_in_quiet, collect_rarely, settle
from services.evaluator.kafka_log import lower_transaction_backoff
from services.evaluator.owner import PartitionOwner
from services.evaluator.read_api import create_read_api
from services.evaluator.serving import Serving
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.state_directory import claimed_state_directory
from services.evaluator.status import StatusReporter
from services.evaluator.surroundings import Workspace
from services.evaluator.transport import App, create_app, heed_group
from services.evaluator.upkeep import Place, Upkeep
from services.evaluator.warming import Warming
from services.runtime import clock
from services.runtime.application import ServiceContext
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.topics import verify_topics
from services.runtime.web import listen, serve

if TYPE_CHECKING:
    from services.evaluator.traces import TracedInputs

TOPICS = (
    Topic.CONTACT_CHANGES,
    Topic.CONTACTS_CHANGELOG,
    Topic.CONTROL_CHANGELOG,
    Topic.MEMBERSHIPS,
    Topic.DEAD_LETTERS,
    Topic.EVALUATOR_STATUS,
)
READY_POLL_S = 0.1
"""While partitions are recovered or none is assigned."""
READY_AGAIN_S = 0.5
"""Once ready: an idle process is not to be woken ten times a second."""
STOP_TIMEOUT_S = 12.0
"""Less than the runtime's grace, so that a stop that hangs is still told as what it is."""
PARTS_END_WITHIN_S = 2.0
"""A part of a library's may take a cancellation for a crash and start again: it ends with the process."""

log = get_logger("evaluator")


async def main(context: ServiceContext[EvaluatorSettings]) -> None:
    """Run the evaluator until `context.stopping`. Errors: what a part failed with, on the way or as it stopped."""
    settings = context.settings
    context.health.not_ready("waiting for Kafka")
    if not await context.came_about(verify_topics(settings, TOPICS)):
        return
    lower_transaction_backoff()
    collect_rarely()
    with claimed_state_directory(settings.state_dir, settings.topic_prefix, settings.partitions):
        await _work(context)


async def _work(context: ServiceContext[EvaluatorSettings]) -> None:
    """Be a member of the group until told to stop or something fails."""
    settings = context.settings
    serving = Serving(_trace(context), settings.preview_memory_mib << 20)
    listening = listen(settings.read_api_host, settings.read_api_port)
    owner = PartitionOwner(
        Workspace(
            group=settings.group,
            partitions=settings.partitions,
            topic_name=lambda topic: topic_name(settings.topic_prefix, topic),
            client=client_options(settings),
            state_dir=settings.state_dir,
            pace=settings.pace,
            store_memory_bytes=settings.store_memory_mib << 20,
        ),
        serving,
    )
    app = create_app(settings, owner)
    address = settings.read_address or f"http://{settings.read_api_host}:{listening.getsockname()[1]}"
    reporter = StatusReporter(
        serving,
        address,
        topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS),
        client_options(settings),
        app.end_offset,
    )
    place = Place(settings.topic_prefix, settings.partitions, settings.state_dir, settings.checkpoint_dir)
    upkeep = Upkeep(serving, place)
    api = create_read_api(serving, settings.partitions, upkeep.routes)
    serving_http = asyncio.create_task(serve(api, listening, closing := asyncio.Event(), _nothing), name="read api")
    tasks = {
        asyncio.create_task(reporter.run(), name="status"),
        asyncio.create_task(
            Warming(lambda: serving.previews, clock.monotonic, clock.processor_s).run(), name="columns in spare time"
        ),
        asyncio.create_task(app.start(), name="faust"),
        asyncio.create_task(_crash_of(app), name="faust crash"),
        asyncio.create_task(heed_group(app), name="group"),
        asyncio.create_task(_report_readiness(context, owner), name="readiness"),
        asyncio.create_task(collect_in_quiet(lambda: owner.is_quiet, clock.monotonic), name="garbage"),
    }
    stop = asyncio.create_task(context.stopping.wait(), name="stop")
    try:
        await _first_failure({*tasks, serving_http, owner.failed}, stop)
    finally:
        stop.cancel()
        for task in tasks:
            task.cancel()
        closing.set()
        unclean = await _stop(app, owner)
        await _ended({*tasks, serving_http})
    if owner.failed.done():
        owner.failed.result()
    if unclean is not None:
        raise ServiceError("not everything in hand was finished") from unclean


def _trace(context: ServiceContext[EvaluatorSettings]) -> Callable[[int], TracedInputs] | None:
    tracing, prefix = context.tracing, context.settings.topic_prefix
    if tracing is None:
        return None
    from services.evaluator.traces import TracedInputs  # only those who trace pay for the import

    topics = topic_name(prefix, Topic.CONTACT_CHANGES), topic_name(prefix, Topic.MEMBERSHIPS)
    return lambda partition: TracedInputs(tracing, *topics, partition)


async def _stop(app: App, owner: PartitionOwner) -> Exception | None:
    """Leave the group and give the partitions up, within a bound; what fails here must not hide why we stop."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await app.stop()
            await owner.revoke()
    except Exception as error:  # noqa: BLE001 - the next owner's fencing settles whatever could not be settled here
        log.error("the stop was not clean", reason=repr(error))
        return error
    return None


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Wait a while for cancelled parts; what they failed with is known, or comes of the stop."""
    done, _ = await asyncio.wait(tasks, timeout=PARTS_END_WITHIN_S)
    for task in done:
        if not task.cancelled():
            task.exception()


def _nothing() -> None:
    """Readiness is about the partitions; that the read API listens is not news."""


async def _first_failure(parts: set[asyncio.Future[None]], stop: asyncio.Task[bool]) -> None:
    """Return when told to stop; raise what the first failing part raised."""
    waiting: set[asyncio.Future[None] | asyncio.Task[bool]] = {*parts, stop}
    while not stop.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()


async def _crash_of(app: App) -> None:
    await app._crashed.wait()  # noqa: SLF001 - mode tells a crash by this event alone
    raise ServiceError(f"the consumer failed: {app.crash_reason!r}") from app.crash_reason


async def _report_readiness(context: ServiceContext[EvaluatorSettings], owner: PartitionOwner) -> None:
    """Declare the process ready while partitions are assigned and every one is recovered."""
    settled_for: float | None = None
    while True:
        if owner.ready:
            partitions = sorted(owner.owned)
            context.health.ready(working(partitions, owner.held) if partitions else "standing by")
            if owner.recovered_at != settled_for:
                settled_for = owner.recovered_at
                settle()
            owner.refresh_metrics()
        elif owner.owned:
            percents = [each.recovery.percent if each.recovery is not None else 0.0 for each in owner.owned.values()]
            context.health.not_ready(f"recovering {len(percents)} partitions, {min(percents):.0f} % read")
        else:
            context.health.not_ready("joining the group")
        await asyncio.sleep(READY_AGAIN_S if owner.ready else READY_POLL_S)


def working(partitions: Sequence[int], held: Mapping[int, int]) -> str:
    """What a ready evaluator says of itself. `held` is how many contacts are held, by partition."""
    if not held:
        return f"working partitions {partitions}"
    told = ", ".join(f"{count} in partition {index}" for index, count in held.items())
    return f"working partitions {partitions}, but contacts are held because their evaluation fails: {told}; see the log"
