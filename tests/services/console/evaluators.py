"""A scripted world around the console: owners that answer by partition, an ingest that answers by path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, SegmentStatusRecord
from schemas.partitioner import partition_for
from segmentation.model import ContactId, InstantMs, SegmentId
from services.console.app import build_app
from services.console.declarations import Declarations
from services.console.feed import Feed
from services.console.forward import Ingest, Neighbour
from services.console.hour import Hour
from services.console.openapi import describe
from services.console.owners import Owners
from services.console.settings import ConsoleSettings
from services.console.status import StatusBoard
from services.runtime.keys import KeyFile, Scope
from tests.contracts.answers import Described

PARTITIONS = 2
NOW = 1_790_000_000_000
DEFINITIONS = re.compile(r"/segments(/(?!preview)[^/]+)?$")
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class World:
    """The console over scripted neighbours, and a client that talks to it."""

    directory: Path
    kafka: str = "127.0.0.1:9"
    prefix: str = ""
    owner: Answer = lambda _request: httpx.Response(500)
    ingest: Answer = lambda _request: httpx.Response(500)
    ingest_url: str = ""
    """A real ingest instead of the scripted one."""
    webhooks: Answer | None = None
    board: StatusBoard = field(default_factory=lambda: StatusBoard(PARTITIONS))
    feed: Feed = field(default_factory=lambda: Feed(PARTITIONS))
    declarations: Declarations = field(default_factory=Declarations)
    hour: Hour = field(default_factory=lambda: Hour(InstantMs(NOW)))

    def __post_init__(self) -> None:
        self.settings = ConsoleSettings(
            partitions=PARTITIONS, data_dir=self.directory, kafka_bootstrap=self.kafka, topic_prefix=self.prefix
        )
        self.keys = KeyFile(self.settings.keys_path)
        self.key = self.keys.create("test", list(Scope)).token
        self._owners = Owners(self.board, PARTITIONS, httpx.MockTransport(self._answer_as_owner))
        scripted = None if self.ingest_url else httpx.MockTransport(self._answer_as_ingest)
        self._ingest = Ingest(self.ingest_url or "http://ingest", scripted)
        self._webhooks = (
            None
            if self.webhooks is None
            else Neighbour("webhooks", "http://webhooks", httpx.MockTransport(self.webhooks))
        )
        self.app = build_app(
            self.settings,
            self.keys,
            self.board,
            self.hour,
            self.feed,
            self.declarations,
            self._owners,
            self._ingest,
            self._webhooks,
        )
        self._described = Described(describe(self.app))
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://console")

    def _answer_as_owner(self, request: httpx.Request) -> httpx.Response:
        return self.owner(request)

    def _answer_as_ingest(self, request: httpx.Request) -> httpx.Response:
        return self.ingest(request)

    async def close(self) -> None:
        await self.http.aclose()
        await self._owners.close()
        await self._ingest.close()
        if self._webhooks is not None:
            await self._webhooks.close()

    def serve(self, partition: int, state: PartitionState = PartitionState.READY, contacts: int = 10) -> None:
        owner = f"http://owner-{partition}"
        self.board.take(
            PartitionStatusRecord(
                partition=partition, owner=owner, state=state, reported_at=InstantMs(NOW), contacts=contacts
            )
        )

    def count(
        self,
        segment: str,
        partition: int,
        members: int,
        *,
        version: int = 1,
        settling: bool = False,
        settles_at: int | None = None,
    ) -> None:
        self.board.take(
            SegmentStatusRecord(
                segment_id=SegmentId(segment),
                partition=partition,
                version=version,
                reported_at=InstantMs(NOW + partition),
                members=members,
                settling=settling,
                settles_at=InstantMs(settles_at) if settles_at is not None else None,
            )
        )

    async def get(self, path: str, key: str | None = None, **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return self._held(await self.http.get(f"/api/v2{path}", params=params, headers=headers))

    async def post(self, path: str, body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self._held(await self.http.post(f"/api/v2{path}", json=body, headers=headers))

    def _held(self, answer: httpx.Response) -> httpx.Response:
        """The answer, if it is what the document of the console says.

        Left out: what is forwarded, and definitions, which the scripted ingest shortens. The real stack is held to all.
        """
        from_ingest = DEFINITIONS.search(answer.request.url.path) or (
            answer.request.method == "POST" and answer.is_error
        )
        if not (from_ingest or self._described.forwards(answer)):
            self._described.hold(answer)
        return answer


def streamed(status: int, body: object, headers: dict[str, str] | None = None) -> httpx.Response:
    """An answer whose body has not been read yet, as one from the network."""
    stream = httpx.ByteStream(orjson.dumps(body))
    return httpx.Response(status, stream=stream, headers={"Content-Type": "application/json", **(headers or {})})


def contact_in(partition: int) -> str:
    """An id that lives in the partition."""
    return next(name for name in map(str, range(100)) if partition_for(ContactId(name), PARTITIONS) == partition)
