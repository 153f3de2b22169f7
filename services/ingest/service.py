"""Everything that one ingest process holds, started and stopped together.

Rule: what was started is stopped, in the opposite order, whatever failed between; the routes get what they need and
nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.topics import Topic, topic_name
from services.ingest import segment_docs
from services.ingest.app import build_app
from services.ingest.attributes import AttributeRoutes
from services.ingest.audit_routes import AuditRoutes
from services.ingest.audit_topic import AuditTopic
from services.ingest.contact_log import ContactLog
from services.ingest.contacts import ContactRoutes
from services.ingest.dead_letter_log import DeadLetterLog
from services.ingest.definition_log import DefinitionTopics
from services.ingest.evaluation import Evaluation
from services.ingest.guard import Guard
from services.ingest.imports import docs as import_docs
from services.ingest.imports.assembly import running_imports
from services.ingest.imports.routes import ImportRoutes
from services.ingest.imports.service import Imports
from services.ingest.key_routes import KeyRoutes
from services.ingest.merge_routes import MergeRoutes
from services.ingest.merging import Merging
from services.ingest.once import Once
from services.ingest.producer import Producer
from services.ingest.replay_routes import ReplayRoutes
from services.ingest.request_log import RequestLog
from services.ingest.segments import SegmentRoutes
from services.ingest.settings import IngestSettings
from services.ingest.traced import TracedRequests
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.kafka import client_options
from services.runtime.keys import KeyFile
from services.runtime.rates import Rates

if TYPE_CHECKING:
    from services.runtime.tracing import Tracing

DELIVERY_TIMEOUT_MS: Final = 8_000
"""How long the client goes on trying; the answer to the sender comes sooner."""
BATCH_BYTES_MAX: Final = 512 * 1024
"""A partition has at most one such batch waiting, so the client's own buffer is bounded."""
REQUEST_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ingest:
    """One running ingest process."""

    app: Any
    contact_log: ContactLog
    topics: DefinitionTopics
    imports: Imports
    reading: tuple[asyncio.Task[None], ...]
    """What follows the log; one that ends by itself is broken."""

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        settings: IngestSettings,
        evaluators: httpx.AsyncBaseTransport | None = None,
        tracing: Tracing | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> AsyncIterator[Ingest]:
        """Start everything; stop it at the end. `evaluators` replaces the network to them, `tracing` follows writes.

        `tell` is told what the start waits for. Errors: ServiceError when the broker cannot be reached.
        """
        keys = KeyFile(settings.keys_path)
        guard = Guard(keys, Rates(settings.rate_limit_per_s, clock.monotonic))
        async with contextlib.AsyncExitStack() as stack:
            producer = await stack.enter_async_context(_producer(settings))
            topics = DefinitionTopics(settings, producer)
            await stack.enter_async_context(topics.following())
            requests = RequestLog(settings, producer)
            await stack.enter_async_context(requests.following(settings.data_dir, tell))
            audit_topic = AuditTopic(settings)
            await stack.enter_async_context(audit_topic.following())
            once = Once(requests)
            stack.push_async_callback(once.close)
            evaluation = Evaluation(settings, evaluators)
            stack.push_async_callback(evaluation.close)
            merging = Merging(settings, evaluation)
            stack.push_async_callback(merging.close)
            contact_log = ContactLog(
                producer,
                topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES),
                settings.partitions,
                settings.append_timeout_ms,
                tracing,
            )
            imports = await stack.enter_async_context(running_imports(settings, lambda: topics.declared))
            contacts = ContactRoutes(contact_log, evaluation, guard)
            routers = [
                MergeRoutes(merging, guard).router(),
                SegmentRoutes(topics, guard, clock.now_ms).router(),
                AttributeRoutes(topics, guard, clock.now_ms, keys.audit).router(),
                ImportRoutes(imports, once, guard).router(),
                KeyRoutes(keys, guard).router(),
                AuditRoutes(keys.audit, topics.history, audit_topic, guard).router(),
                ReplayRoutes(DeadLetterLog(settings), contact_log, once, guard, keys.audit).router(),
            ]
            app = build_app(
                guard, once, contact_log.is_stalled, contacts, routers, [segment_docs.SCHEMAS, import_docs.SCHEMAS]
            )
            yield cls(
                app if tracing is None else TracedRequests(app, tracing),
                contact_log,
                topics,
                imports,
                (topics.reading, requests.reading, audit_topic.reading),
            )


@contextlib.asynccontextmanager
async def _producer(settings: IngestSettings) -> AsyncIterator[Producer]:
    options = client_options(settings)

    def make() -> AIOKafkaProducer:
        return AIOKafkaProducer(
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=DELIVERY_TIMEOUT_MS,
            **options,
        )

    async with contextlib.AsyncExitStack() as stack:
        try:
            producer = await stack.enter_async_context(Producer(make).running())
        except (KafkaError, OSError) as error:
            raise ServiceError(f"no Kafka broker answers at {settings.kafka_bootstrap}") from error
        yield producer
