"""`Prefer: wait`: the owner is found by its own records, and whatever it does, the write stands."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, partition_status_key
from schemas.topics import Topic, topic_name
from segmentation.model import InstantMs
from services.ingest.contact_log import Appended
from services.ingest.evaluation import WAIT_MAX_S, Evaluation, wait_wanted_s
from services.ingest.settings import IngestSettings
from services.runtime.topics import ensure_topics


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], 0),
        ([""], 0),
        (["wait=2"], 2),
        (["handling=strict, Wait=3"], 3),
        (["respond-async; wait=4"], 4),
        (['wait="5"'], 5),
        (["wait=0"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["await=7"], 0),
        (["wait=9999"], WAIT_MAX_S),
        (["wait=100000"], WAIT_MAX_S),
        (["respond-async", "wait=6"], 6),
        (["wait=7", "wait=8"], 7),
    ],
)
def test_the_preference_is_read_as_its_standard_says(prefer: list[str], seconds: int) -> None:
    assert wait_wanted_s(prefer) == seconds


class Owner(httpx.AsyncBaseTransport):
    """Stands for an evaluator: answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.failures = 0
        self.changes: dict[int, list[dict[str, Any]] | None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = orjson.loads(await request.aread())
        self.asked.append((str(request.url), question))
        if self.failures:
            self.failures -= 1
            return httpx.Response(421, json={"code": "not_owner"})
        outcomes = [
            {"offset": offset, "committed": True, "changes": self.changes.get(offset, [])}
            for offset in question["offsets"]
        ]
        return httpx.Response(200, json={"outcomes": outcomes})


@pytest.fixture
async def settings(broker: str, topic_prefix: str) -> IngestSettings:
    settings = IngestSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=2)
    await ensure_topics(settings, [Topic.EVALUATOR_STATUS])
    return settings


@pytest.fixture
async def owner(settings: IngestSettings) -> Owner:
    await report(settings, 0, "http://one:8082")
    await report(settings, 1, "http://two:8082/")
    return Owner()


async def report(settings: IngestSettings, partition: int, address: str) -> None:
    record = PartitionStatusRecord(
        partition=partition, owner=address, state=PartitionState.READY, reported_at=InstantMs(1)
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        topic = topic_name(settings.topic_prefix, Topic.EVALUATOR_STATUS)
        await producer.send_and_wait(topic, record.encode(), key=partition_status_key(partition))
    finally:
        await producer.stop()


@pytest.mark.broker
async def test_each_owner_is_asked_for_its_own_records(settings: IngestSettings, owner: Owner) -> None:
    owner.changes = {7: [{"segment_id": "pros", "change": "enter"}]}
    evaluation = Evaluation(settings, owner)
    try:
        told = await evaluation.changes_of([Appended(0, 7), Appended(1, 3), Appended(0, 8)], wait_s=10)
    finally:
        await evaluation.close()
    assert told == {Appended(0, 7): owner.changes[7], Appended(0, 8): [], Appended(1, 3): []}
    assert sorted((url, question["offsets"]) for url, question in owner.asked) == [
        ("http://one:8082/internal/v1/outcomes", [7, 8]),
        ("http://two:8082/internal/v1/outcomes", [3]),
    ]


@pytest.mark.broker
async def test_an_owner_that_has_just_changed_is_asked_again(settings: IngestSettings, owner: Owner) -> None:
    owner.failures = 3
    evaluation = Evaluation(settings, owner)
    try:
        assert await evaluation.changes_of([Appended(0, 7)], wait_s=10) == {Appended(0, 7): []}
    finally:
        await evaluation.close()
    assert len(owner.asked) == 4


@pytest.mark.broker
async def test_what_is_not_known_in_time_is_left_out_and_nothing_is_raised(
    settings: IngestSettings, owner: Owner
) -> None:
    owner.failures = 1_000_000
    evaluation = Evaluation(settings, owner)
    try:
        assert await evaluation.changes_of([Appended(0, 7), Appended(5, 1)], wait_s=0.5) == {}
    finally:
        await evaluation.close()


@pytest.mark.broker
async def test_a_record_too_long_ago_to_tell_is_left_out(settings: IngestSettings, owner: Owner) -> None:
    owner.changes = {7: None}
    evaluation = Evaluation(settings, owner)
    try:
        assert await evaluation.changes_of([Appended(0, 7), Appended(0, 8)], wait_s=10) == {Appended(0, 8): []}
    finally:
        await evaluation.close()
