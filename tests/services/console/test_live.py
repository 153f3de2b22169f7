"""The whole console process on a real broker: live events, resuming, counts, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.ports import free_ports
from schemas.evaluator_status import SegmentStatusRecord, segment_status_key
from schemas.topics import Topic, topic_name
from segmentation.model import InstantMs, SegmentId
from services.console import events as live
from services.console.__main__ import main
from services.console.feed import decode_positions, encode_positions
from services.console.settings import ConsoleSettings
from services.runtime.application import ServiceContext
from services.runtime.keys import KeyFile, Scope
from services.runtime.metrics import REGISTRY
from services.runtime.topics import ensure_topics
from tests.services.sdk.stream import PARTITIONS, Step, Stream, open_stream, partition_of
from tests.waiting import until
from tidegate import Tidegate
from tidegate.transport import ServerEvent

pytestmark = pytest.mark.broker
WAIT_S = 120.0


@dataclass
class Console:
    """A running console, a writer of membership changes, and a client."""

    settings: ConsoleSettings
    context: ServiceContext[ConsoleSettings]
    running: asyncio.Task[None]
    stream: Stream
    client: Tidegate

    @asynccontextmanager
    async def events(self, segment: str | None = None, last_id: str | None = None) -> AsyncIterator[Events]:
        """An event stream that is open: what is written from now on comes."""
        async with aclosing(self.client.events(segment_id=segment, last_id=last_id)) as source:
            hello = await anext(source)
            assert hello.name == "hello"
            yield Events(source, hello.id)

    async def tell_members(self, segment: str, partition: int, members: int) -> None:
        record = SegmentStatusRecord(
            segment_id=SegmentId(segment), partition=partition, version=1, reported_at=InstantMs(1), members=members
        )
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap)
        await producer.start()
        topic = topic_name(self.settings.topic_prefix, Topic.EVALUATOR_STATUS)
        key = segment_status_key(SegmentId(segment), partition)
        await producer.send_and_wait(topic, record.encode(), key=key)
        await producer.stop()


class Events:
    """Reads an event stream one by one, within a time."""

    def __init__(self, source: AsyncIterator[ServerEvent], start: str) -> None:
        self._source = source
        self.last_id = start

    async def take(self, count: int, name: str = "change") -> list[ServerEvent]:
        taken: list[ServerEvent] = []
        async with asyncio.timeout(WAIT_S):
            while len(taken) < count:
                event = await anext(self._source)
                self.last_id = event.id or self.last_id
                if event.name == name:
                    taken.append(event)
        return taken


@pytest.fixture
async def console(broker: str, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Console]:
    (port,) = free_ports(1)
    settings = ConsoleSettings(
        kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=PARTITIONS, data_dir=tmp_path, console_port=port
    )
    await ensure_topics(settings)
    key = KeyFile(settings.keys_path).create("test", list(Scope)).token
    context = ServiceContext("console", settings)
    running = asyncio.create_task(main(context))

    def is_ready() -> bool:
        assert not running.done(), running.exception()
        return context.health.readiness.ready

    await until(is_ready, WAIT_S, "console to be ready", every_s=0.02)
    async with open_stream(broker, topic_prefix) as stream, Tidegate(f"http://127.0.0.1:{port}", key=key) as client:
        yield Console(settings, context, running, stream, client)
    context.stopping.set()
    async with asyncio.timeout(WAIT_S):
        await running


def told(events: list[ServerEvent]) -> list[tuple[str, str, str]]:
    return [(event.data["contact_id"], event.data["segment_id"], event.data["change"]) for event in events]


async def test_a_committed_change_is_told_live_and_an_aborted_one_never(console: Console) -> None:
    async with console.events() as events:
        await console.stream.abort(Step("ghost", 1, ("a",)))
        await console.stream.commit(Step("u", 2, ("a",)), Step("u", 3, ("a",), enters=False))
        assert told(await events.take(2)) == [("u", "a", "enter"), ("u", "a", "exit")]


async def test_a_reader_of_one_segment_is_told_only_that(console: Console) -> None:
    async with console.events(segment="b") as events:
        await console.stream.commit(Step("u", 1, ("a", "b")))
        await console.stream.commit(Step("u", 2, ("b",), enters=False))
        assert told(await events.take(2)) == [("u", "b", "enter"), ("u", "b", "exit")]


async def test_a_reader_of_one_contacts_exits_is_told_only_those_live_and_after_a_resume(console: Console) -> None:
    async with console.events() as events:
        await console.stream.commit(Step("v", 1, ("a",)))
        await events.take(1)
        last_id = events.last_id
    await console.stream.commit(Step("u", 2, ("a",)), Step("v", 3, ("a",), enters=False))
    await console.stream.commit(Step("u", 4, ("a",), enters=False))
    token = KeyFile(console.settings.keys_path).create("other", list(Scope)).token
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": last_id}
    url = f"http://127.0.0.1:{console.settings.console_port}/api/v2/events?contact=u&change=exit&cause=write"
    seen: list[tuple[str, int]] = []
    async with asyncio.timeout(WAIT_S), httpx.AsyncClient() as http, http.stream("GET", url, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and "contact_id" in line:
                data = json.loads(line.removeprefix("data: "))
                seen.append((data["contact_id"] + " " + data["change"], data["at_ms"]))
                if len(seen) == 1:
                    await console.stream.commit(Step("u", 5, ("a",)), Step("u", 6, ("a",), enters=False))
                else:
                    break
    assert [(what, at_ms % 1_000) for what, at_ms in seen] == [("u exit", 4), ("u exit", 6)]


async def test_a_reader_that_was_away_resumes_behind_the_last_event_it_has(console: Console) -> None:
    async with console.events() as events:
        await console.stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(20)))
        await events.take(7)
        last_id = events.last_id
        await events.take(13)
    await console.stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(20, 30)))
    async with console.events(last_id=last_id) as events:
        missed = await events.take(23)
        await console.stream.commit(Step("u30", 30, ("a",)))
        live = await events.take(1)
    assert len({event.data["event_id"] for event in missed}) == 23
    assert {f"u{at}" for at in range(20, 30)} < {event.data["contact_id"] for event in missed}
    assert told(live) == [("u30", "a", "enter")]


async def test_resuming_at_any_event_leaves_out_nothing_and_repeats_nothing(console: Console) -> None:
    async with console.events() as events:
        await console.stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(12)))
        whole = await events.take(12)
    ids = [event.data["event_id"] for event in whole]
    for place in (0, 5, 10):
        async with console.events(last_id=whole[place].id) as events:
            rest = [event.data["event_id"] for event in await events.take(11 - place)]
        assert sorted(rest) == sorted(ids[place + 1 :])


async def test_a_position_that_the_log_has_not_reached_repeats_nothing_and_the_others_are_resumed(
    console: Console,
) -> None:
    async with console.events() as events:
        start = decode_positions(events.last_id, PARTITIONS)
        assert start is not None
        steps = [Step(f"u{at}", at, ("a",)) for at in range(12)]
        await console.stream.commit(*steps)
        await events.take(12)
    behind, *_ = {partition_of(step) for step in steps}
    ahead = {partition: position + (0 if partition == behind else 1_000) for partition, position in start.items()}
    async with console.events(last_id=encode_positions(ahead)) as events:
        await console.stream.commit(Step("last", 20, ("a",)))
        wanted = [step.contact for step in steps if partition_of(step) == behind]
        resumed = await events.take(len(wanted) + 1)
    assert [contact for contact, *_ in told(resumed)] == [*wanted, "last"]


async def test_a_reader_whose_key_is_revoked_is_let_go_and_told_nothing_more(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ADMITTED_S", 0.0)
    keys = KeyFile(console.settings.keys_path)
    made = keys.create("reader", [Scope.SEGMENTS_READ])
    url = f"http://127.0.0.1:{console.settings.console_port}"
    async with (
        asyncio.timeout(WAIT_S),
        Tidegate(url, key=made.token) as reader,
        aclosing(reader.events()) as source,
    ):
        assert (await anext(source)).name == "hello"
        await console.stream.commit(Step("u", 1, ("a",)))
        assert (await anext(source)).name == "change"
        keys.revoke(made.key.id)
        await console.stream.commit(Step("u", 2, ("a",), enters=False))
        rest = [(event.name, event.data) async for event in source]
    assert rest == [("bye", {"reason": "the API key is not known, was revoked or has expired"})]


async def test_counts_are_told_when_every_partition_has_told_its_part(console: Console) -> None:
    async with console.events() as events:
        for partition in range(PARTITIONS):
            await console.tell_members("a", partition, 10 + partition)
        (counts,) = await events.take(1, "counts")
        assert counts.data == {"a": sum(range(10, 10 + PARTITIONS))}


async def test_records_without_sense_are_passed_by_and_counted_and_what_follows_is_told(console: Console) -> None:
    nonsense: tuple[tuple[Topic, bytes, bytes | None], ...] = (
        (Topic.EVALUATOR_STATUS, b"segment|a|no-partition", None),
        (Topic.EVALUATOR_STATUS, b"segment|a|0", b"no status"),
        (Topic.ATTRIBUTES, b"plan", b"no declaration"),
        (Topic.MEMBERSHIPS, b"a|u", b"no change"),
    )
    topics = [topic_name(console.settings.topic_prefix, topic) for topic, *_ in nonsense]
    async with console.events() as events:
        start = events.last_id
        producer = AIOKafkaProducer(bootstrap_servers=console.settings.kafka_bootstrap)
        await producer.start()
        for topic, (_, key, value) in zip(topics, nonsense, strict=True):
            await producer.send_and_wait(topic, value, key=key, partition=0)
        await producer.stop()
        await console.stream.commit(*(Step(f"u{at}", at, ("a",)) for at in range(8)))
        live = told(await events.take(8))
        for partition in range(PARTITIONS):
            await console.tell_members("a", partition, 1)
        await events.take(1, "counts")
    async with console.events(last_id=start) as events:
        assert sorted(told(await events.take(8))) == sorted(live)
    counted = {
        topic: REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", {"topic": topic}) for topic in topics
    }
    # The change without sense is read live and once more by the reader that resumes.
    assert counted == dict(zip(dict.fromkeys(topics), (2, 1, 2), strict=True))


async def test_a_stopping_console_says_goodbye_to_its_readers(console: Console) -> None:
    async with console.events() as events:
        console.context.stopping.set()
        (bye,) = await events.take(1, "bye")
        assert "stopping" in bye.data["reason"]
