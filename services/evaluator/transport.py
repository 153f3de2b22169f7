"""Faust as the control plane: lifecycle, group membership and assignment are Faust's, the data path is ours.

Faust's own path from fetch to agent, its offset tracking and its tables are replaced by handing whole fetched lists to
the `PartitionOwner`, and its consumer's thread by a task: two threads of Python take turns, and each turn costs what a
fetch costs. Rule: every override of a private name is listed in `OVERRIDES`, with the signature it was written against,
and a test fails when an upgrade changes one. Nothing here may wait for recovery, nor may anything in the process keep
the loop for seconds: heartbeats stop meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import faust
from aiokafka.errors import InvalidSessionTimeoutError, KafkaError
from faust import SASLCredentials, SSLCredentials
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import ServiceThread
from mode.utils.futures import maybe_async

from schemas.topics import Topic, topic_name
from services.evaluator.fetching import fetch
from services.evaluator.owner import PartitionOwner
from services.evaluator.settings import EvaluatorSettings
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.topics import partition_count_advice, partition_count_problem

FETCH_WAIT_MS = 100
FETCH_PARTITION_BYTES = 256 << 10
FETCH_RECORDS_MAX = 4_000
FETCH_TIMEOUT_S = 0.2
"""How long one fetch waits for records; a seek is applied between two."""
IDLE_WAIT_S = 0.02
"""How long the loop rests while there is no partition to fetch."""
HEARTBEAT_INTERVAL_S = 0.5
"""Who stays in the group hears by the next one that somebody leaves: a clean stop hands over no sooner."""
GROUP_HEED_S = 1.0
"""How often the client is asked what keeps it out of the group, and how many partitions it knows of."""
TOPIC_KNOWN_MS = 15_000
"""How old what the client knows of its topic may be: a partition that is added goes unseen for so long."""
ASKED_FOR_NOTHING_S_MAX = 10 * 365 * 86_400.0
"""The client leaves the group for good when it is asked for nothing for so long. Who stands by never asks for anything,
and a recovery may take its time; heartbeats alone say that a process lives."""
REBALANCE_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 40.0
COMMIT_INTERVAL_S = 60.0
"""Faust has nothing to commit: the worker's transactions carry the offsets."""
SCHEME = "tidegate"

# Faust's services log each start and stop of theirs through the logger of the module that defines them.
logging.getLogger(__name__).setLevel(logging.WARNING)
log = get_logger("transport")

OVERRIDES: Mapping[tuple[type, str], str] = {
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"): "(self, transport)",
    (
        driver.AIOKafkaConsumerThread,
        "_fetch_records",
    ): "(self, consumer, active_partitions, timeout=None, max_records=None)",
    (driver.AIOKafkaConsumerThread, "call_thread"): "(self, fun, *args, **kwargs)",
    (driver.AIOKafkaConsumerThread, "_gather_remaining_tasks"): "(self)",
    (driver.AIOKafkaConsumerThread, "_serve"): "(self)",
    (driver.Consumer, "_new_consumer_thread"): "(self)",
    (driver.Consumer, "_drain_messages"): "(self, fetcher)",
    (driver.Consumer, "_getmany"): "(self, active_partitions, timeout)",
    (driver.Consumer, "_get_active_partitions"): "(self)",
    (driver.Consumer, "force_commit"): "(self, topics=None, start_new_transaction=True)",
    (driver.Consumer, "wait_empty"): "(self)",
    (driver.Consumer, "perform_seek"): "(self)",
    (driver.Consumer, "seek"): "(self, partition, offset)",
    (driver.Consumer, "verify_event_path"): "(self, now, tp)",
    (driver.Consumer, "on_partitions_revoked"): "(self, revoked)",
    (driver.Consumer, "on_partitions_assigned"): "(self, assigned, generation_id=0)",
}
"""What we override or call of Faust's private surface, with its parameters as of the pinned version."""


class LoopWorker:
    """Stands for the thread of a service of Faust's: a task on the loop that everything else runs on."""

    def __init__(self, service: ServiceThread) -> None:
        self._service = service

    def start(self) -> None:
        """Begin to serve."""
        self._task = self._service.parent_loop.create_task(self._serve())

    def stop(self) -> None:
        """Nothing: Faust calls it once the service has shut down."""

    async def _serve(self) -> None:
        try:
            await self._service._serve()  # noqa: SLF001 - what the thread would run
        except Exception:  # noqa: BLE001 - the service has told of it and crashed the application, as from a thread
            self._service.set_shutdown()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer without its thread; it fetches whole batches of committed records, and does not wait 1.5 s."""

    Worker = LoopWorker  # type: ignore[assignment]  # it starts and stops as a thread does

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call: the queue to a thread of its own is of no use."""
        return await maybe_async(fun(*args, **kwargs))

    async def _gather_remaining_tasks(self) -> None:
        """Nothing: what else runs on the loop is not the consumer's to end."""

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: Any = None,  # noqa: ASYNC109 - Faust's signature
        max_records: Any = None,
    ) -> Any:
        """Take whole batches."""
        if not self.consumer.flow_active:
            return {}
        return await fetch(consumer, active_partitions, timeout, max_records)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - fixed in the driver, with no setting
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - likewise
        return consumer


class Consumer(driver.Consumer):
    """Faust's consumer, feeding the partition workers instead of streams."""

    def __init__(self, transport: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        app = cast("App", self.app)
        self.owner = app.owner
        self.input_topic = app.input_topic

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch whole lists and hand them over, until Faust stops its fetcher."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                for partition, offset in self.owner.take_seeks().items():
                    await self.seek(TP(self.input_topic, partition), offset)
                wanted = {at for at in self._get_active_partitions() if at.partition not in self.owner.paused}
                if not wanted or not self.flow_active or self.owner.is_full:
                    await asyncio.sleep(IDLE_WAIT_S)
                    continue
                for at, records in (await self._getmany(wanted, FETCH_TIMEOUT_S)).items():
                    self.owner.feed(at.partition, records)
                await asyncio.sleep(0)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    async def force_commit(
        self,
        topics: Any = None,  # noqa: ARG002 - Faust's signature
        start_new_transaction: bool = True,  # noqa: ARG002 - Faust's signature
    ) -> bool:
        """Nothing: offsets are committed in the workers' transactions."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust looks for streams that process, of which there are none, and would log an error for each."""

    async def perform_seek(self) -> None:
        """Nothing: a recovered worker says where to read on."""

    async def wait_empty(self) -> None:
        """Finish what is in hand. Runs on revocation and on stop, while the partitions are still ours."""
        await self.owner.revoke()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give everything up before the group moves on: the protocol revokes all and assigns anew."""
        await self.owner.revoke()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Note the assignment before the first await: records may arrive while this runs."""
        partitions = {at.partition for at in assigned if at.topic == self.input_topic}
        await self.owner.revoke()
        self.owner.assign(partitions)
        await super().on_partitions_assigned(assigned, generation_id)


class Transport(driver.Transport):
    """The transport behind broker addresses that begin with `tidegate://`."""

    Consumer = Consumer


def register() -> None:
    """Make `tidegate://` addresses known to Faust."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"


class App(faust.App):
    """A member of the evaluator's group on the input topic, and nothing else."""

    owner: PartitionOwner
    input_topic: str

    def end_offset(self, partition: int) -> int | None:
        """The end of a partition's log as of the last fetch; None before the first."""
        at = TP(self.input_topic, partition)
        if at not in self.consumer.assignment():
            return None
        return cast("int | None", self.consumer.highwater(at))


async def heed_group(app: App) -> None:
    """Watch over the membership for ever, and raise what ends it.

    The client tells that to who fetches through it, which Faust goes round, and does nothing more until it is asked.

    Errors: `StartRefusedError` if the broker takes no such session time-out or the input topic has other partitions
    than when this began, `ServiceError` for the rest that repeating does not mend.
    """
    while True:
        await asyncio.sleep(GROUP_HEED_S)
        client = cast("Consumer", app.consumer)._thread._consumer  # noqa: SLF001 - Faust hands its client to nobody
        coordinator = None if client is None else client._coordinator  # noqa: SLF001 - nor the client its part
        if coordinator is not None:
            check_group(coordinator, app.conf.broker_session_timeout)
        if client is not None:
            check_partitions(app.input_topic, client.partitions_for_topic(app.input_topic), app.conf.topic_partitions)


def check_group(coordinator: Any, session_timeout_s: float) -> None:
    """Ask once, as `heed_group` does."""
    try:
        coordinator.check_errors()
    except InvalidSessionTimeoutError as error:
        raise StartRefusedError(
            f"the broker refuses a session time-out of {session_timeout_s * 1_000:,.0f} ms: set "
            "TIDEGATE_SESSION_TIMEOUT_MS within its group.min.session.timeout.ms and group.max.session.timeout.ms "
            "(6,000 and 1,800,000 unless it says otherwise)"
        ) from error
    except KafkaError as error:
        if not error.retriable:
            raise ServiceError(f"the group of the evaluators refused this one: {error!r}") from error
        log.warning("the group could not be asked; asking again", reason=repr(error))


def check_partitions(topic: str, known: Collection[int] | None, expected: int) -> None:
    """Ask once whether a contact still has the home that it had. `known` is None while the client knows nothing."""
    if known is not None and len(known) != expected:
        problem = partition_count_problem(topic, len(known), expected)
        raise StartRefusedError(
            f"{problem}: {partition_count_advice(expected)}; it was changed under a running evaluator, and what "
            "producers wrote since by the new one stands at the wrong place"
        )


def create_app(settings: EvaluatorSettings, owner: PartitionOwner) -> App:
    """The Faust app that drives `owner`. Call it inside the running loop."""
    register()
    input_topic = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    session_timeout_s = settings.session_timeout_ms / 1_000
    app = App(
        settings.group,
        broker=[f"{SCHEME}://{server.strip()}" for server in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        datadir=str(settings.state_dir / "faust"),
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        table_standby_replicas=0,
        stream_wait_empty=True,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=min(HEARTBEAT_INTERVAL_S, session_timeout_s / 3),
        broker_max_poll_interval=ASKED_FOR_NOTHING_S_MAX,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_request_timeout=max(REQUEST_TIMEOUT_S, session_timeout_s),
        broker_max_poll_records=FETCH_RECORDS_MAX,
        consumer_max_fetch_size=FETCH_PARTITION_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=TOPIC_KNOWN_MS,
        consumer_group_instance_id=settings.static_member,
    )
    app.owner = owner
    app.input_topic = input_topic
    topic = app.topic(input_topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic)
    async def keep_subscribed(stream: Any) -> None:
        """Faust subscribes to topics that agents name; no record is ever delivered this way."""
        async for _ in stream:
            raise AssertionError("a record went through Faust's own path")

    return app


def _credentials(settings: EvaluatorSettings) -> SASLCredentials | SSLCredentials | None:
    options = client_options(settings)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return SSLCredentials(context=context) if context is not None else None
