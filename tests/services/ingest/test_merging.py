"""Merging two contacts: both records or neither, whatever fails between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.codec import ContactDelete, ContactWrite, decode_input
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import AttributeName, ContactId
from services.ingest import merging as merging_module
from services.ingest.admission import Admitted, Origin, admit_delete, admit_patch
from services.ingest.evaluation import Evaluation, OwnerAwayError
from services.ingest.merging import ContactsBusyError, MergeUncertainError, Merging, attributes_gained
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.errors import ServiceError
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import PARTITIONS, Owner, Running, client_of, report_owner
from tests.transactions import Transactions

pytestmark = pytest.mark.broker
TOPICS = [Topic.CONTACT_CHANGES, Topic.EVALUATOR_STATUS]


@pytest.fixture
async def settings(broker: str, topic_prefix: str) -> IngestSettings:
    settings = IngestSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=PARTITIONS)
    await ensure_topics(settings, TOPICS)
    await report_owner(settings)
    return settings


@pytest.fixture
def owner() -> Owner:
    return Owner({"old": {"plan": "pro", "mrr": 5}, "new": {"plan": "free"}})


@pytest.fixture
async def merging(settings: IngestSettings, owner: Owner) -> AsyncIterator[Merging]:
    evaluation = Evaluation(settings, owner)
    merging = Merging(settings, evaluation)
    yield merging
    await merging.close()
    await evaluation.close()


def records() -> list[Admitted]:
    written = admit_patch("new", {"attributes": {"mrr": 5}}, Origin("merge", "r"))
    erased = admit_delete("old", Origin("merge", "r"))
    assert isinstance(written, Admitted)
    assert isinstance(erased, Admitted)
    return [written, erased]


async def now(merging: Merging) -> dict[int, int]:
    """Where on the log begins what comes after now."""
    return (await merging.read([ContactId("old"), ContactId("new")])).ends


async def committed_in_the_end(settings: IngestSettings) -> list[Any]:
    """What an evaluator reads once every transaction is decided."""
    name = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    await Transactions(settings.kafka_bootstrap).until_readable(name, range(PARTITIONS))
    return await committed(settings)


async def committed(settings: IngestSettings) -> list[Any]:
    """What an evaluator reads now."""
    name = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        partitions = [TopicPartition(name, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        read: list[Any] = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            polled = await consumer.getmany(timeout_ms=100)
            read.extend(record for batch in polled.values() for record in batch)
        return [decode_input(record.key, record.value, record.headers) for record in read]
    finally:
        await consumer.stop()


def test_the_remaining_contact_keeps_what_is_its_own_and_gains_what_it_lacks() -> None:
    assert attributes_gained({"plan": "pro", "mrr": 5, "tags": []}, {"plan": "free"}) == {"mrr": 5, "tags": []}


async def test_both_records_are_committed_together(settings: IngestSettings, merging: Merging) -> None:
    read = await merging.read([ContactId("old"), ContactId("new"), ContactId("no")])
    assert read.attributes == [{"plan": "pro", "mrr": 5}, {"plan": "free"}, None]
    appended = await merging.write(records(), read.ends)
    assert len(appended) == 2
    expected = [ContactWrite(ContactId("new"), {AttributeName("mrr"): 5}), ContactDelete(ContactId("old"))]
    assert sorted(map(str, await committed_in_the_end(settings))) == sorted(map(str, expected))


@pytest.mark.parametrize("step", ["send_and_wait", "commit_transaction"])
async def test_a_failure_between_leaves_neither_and_the_next_merge_works(
    settings: IngestSettings, merging: Merging, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    calls = 0
    real = getattr(AIOKafkaProducer, step)

    async def fails(producer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if step == "commit_transaction" or calls == 2:
            raise KafkaError("cut off")
        return await real(producer, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaProducer, step, fails)
        expected = MergeUncertainError if step == "commit_transaction" else ServiceError
        with pytest.raises(expected):
            await merging.write(records(), await now(merging))
    assert await committed(settings) == []
    await merging.write(records(), await now(merging))
    assert len(await committed_in_the_end(settings)) == 2


async def test_contacts_are_read_only_after_all_that_was_on_the_log(
    settings: IngestSettings, merging: Merging, owner: Owner
) -> None:
    await merging.write(records(), await now(merging))
    owner.committed = False
    with pytest.raises(OwnerAwayError):
        await merging.read([ContactId("old"), ContactId("new")])
    owner.committed = True
    await merging.read([ContactId("old"), ContactId("new")])
    assert owner.waited_for


async def test_contacts_are_read_only_after_a_transaction_whose_end_has_not_reached_their_partition(
    settings: IngestSettings, merging: Merging, owner: Owner
) -> None:
    earlier = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap, transactional_id=f"{settings.topic_prefix}earlier"
    )
    await earlier.start()
    try:
        async with earlier.transaction():
            topic, partition = (
                topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES),
                partition_for(ContactId("old"), PARTITIONS),
            )
            sent = await earlier.send_and_wait(topic, b'{"attributes":{}}', b"old", partition)
            await merging.read([ContactId("old")])
    finally:
        await earlier.stop()
    assert owner.waited_for == [sent.offset]


async def contacts_on(settings: IngestSettings) -> dict[str, dict[str, Any]]:
    """What the log makes of every contact, once every transaction is decided; no attribute is removed here."""
    contacts: dict[str, dict[str, Any]] = {}
    for change in await committed_in_the_end(settings):
        if isinstance(change, ContactWrite):
            known: dict[str, Any] = contacts.setdefault(change.contact_id, {})
            known.update({str(name): value for name, value in change.attributes.items()})
        else:
            contacts.pop(change.contact_id, None)
    return contacts


class LogOwner(httpx.AsyncBaseTransport):
    """Stands for the evaluator of every partition, and knows contacts from the log as an evaluator does."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = orjson.loads(await request.aread())
        if request.url.path.endswith("/outcomes"):
            outcomes = [{"offset": offset, "committed": True, "changes": None} for offset in question["offsets"]]
            return httpx.Response(200, json={"outcomes": outcomes})
        contacts = await contacts_on(self._settings)
        known = {one: contacts[one] for one in question["contact_ids"] if one in contacts}
        return httpx.Response(200, json={"contacts": known})


@contextlib.asynccontextmanager
async def merging_by(settings: IngestSettings, owner: LogOwner) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an ingest that has this evaluator."""
    await ensure_topics(settings)
    await report_owner(settings)
    token = KeyFile(settings.keys_path).create("all", frozenset(Scope)).token
    async with Ingest.running(settings, evaluators=owner) as ingest, client_of(ingest.app, token) as http:
        yield http


@pytest.fixture
async def knowing(ingest_settings: IngestSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an ingest whose evaluators know what is on the log."""
    async with merging_by(ingest_settings, LogOwner(ingest_settings)) as http:
        yield http


async def merge_at_once(http: httpx.AsyncClient, *pairs: tuple[str, str]) -> list[list[str]]:
    """Merge each first contact into its second, all at the same time. Shape: what each remaining one gained."""
    answers = await asyncio.gather(
        *(http.post(f"/api/v2/contacts/{one}/merge", json={"into": into}) for one, into in pairs)
    )
    assert [answer.status_code for answer in answers] == [202] * len(pairs)
    return [answer.json()["attributes_gained"] for answer in answers]


class Meanwhile(LogOwner):
    """An evaluator under whose answers contacts are written: the first of them is of what was before."""

    def __init__(self, settings: IngestSettings, times: int) -> None:
        super().__init__(settings)
        self.times = times
        self.http: httpx.AsyncClient | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if request.url.path.endswith("/attributes") and self.http is not None and self.times:
            self.times -= 1
            late = {"attributes": {f"late_{self.times}": 1}}
            assert (await self.http.patch("/api/v2/contacts/a", json=late)).status_code == 202
        return answer


@pytest.mark.parametrize(("times", "status"), [(1, 202), (2, 202), (1_000, 503)])
async def test_what_is_written_while_contacts_are_merged_is_not_erased_unread(
    ingest_settings: IngestSettings, times: int, status: int
) -> None:
    owner = Meanwhile(ingest_settings, times)
    async with merging_by(ingest_settings, owner) as http:
        assert (await http.post("/api/v2/contacts", json={"id": "a", "attributes": {"first": 1}})).status_code == 202
        owner.http = http
        answer = await http.post("/api/v2/contacts/a/merge", json={"into": "b"})
    assert answer.status_code == status, answer.text
    left = await contacts_on(ingest_settings)
    if status == 202:
        assert left == {"b": {"first": 1, **{f"late_{number}": 1 for number in range(times)}}}
    else:
        assert (answer.json()["code"], answer.headers["retry-after"]) == ("contacts_busy", "1")
        assert "b" not in left
        assert left["a"]["first"] == 1


@pytest.mark.parametrize("written", ["a", "c"])
async def test_what_is_written_between_the_two_records_of_a_merge_in_one_partition_is_not_erased_unread(
    ingest_settings: IngestSettings, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    assert partition_for(ContactId("a"), PARTITIONS) == partition_for(ContactId("c"), PARTITIONS)
    real = Merging._sent
    late = {"attributes": {"late": 1}}
    async with merging_by(ingest_settings, LogOwner(ingest_settings)) as http:
        assert (await http.post("/api/v2/contacts", json={"id": "a", "attributes": {"first": 1}})).status_code == 202
        times = 1

        async def sent(merging: Merging, producer: Any, record: Admitted) -> Any:
            nonlocal times
            if record.contact_id == "a" and times:
                times -= 1
                assert (await http.patch(f"/api/v2/contacts/{written}", json=late)).status_code == 202
            return await real(merging, producer, record)

        monkeypatch.setattr(Merging, "_sent", sent)
        answer = await http.post("/api/v2/contacts/a/merge", json={"into": "c"})
    assert answer.status_code == 202, answer.text
    assert await contacts_on(ingest_settings) == {"c": {"first": 1, "late": 1}}


async def test_merges_of_two_processes_at_the_same_time_lose_nothing_of_their_contacts(
    ingest_settings: IngestSettings, tmp_path: Path
) -> None:
    other = ingest_settings.model_copy(update={"data_dir": tmp_path / "other"})
    owners = LogOwner(ingest_settings), LogOwner(ingest_settings)
    async with merging_by(ingest_settings, owners[0]) as http, merging_by(other, owners[1]) as elsewhere:
        contacts = [{"id": each, "attributes": {f"of_{each}": 1}} for each in "abc"]
        assert (await http.post("/api/v2/contacts", json={"contacts": contacts})).status_code == 202
        answers = await asyncio.gather(
            http.post("/api/v2/contacts/a/merge", json={"into": "b"}),
            elsewhere.post("/api/v2/contacts/b/merge", json={"into": "c"}),
        )
    assert [answer.status_code for answer in answers] == [202, 202]
    left = await contacts_on(ingest_settings)
    assert {name for attributes in left.values() for name in attributes} == {"of_a", "of_b", "of_c"}


@pytest.mark.parametrize("pairs", [[("a", "b"), ("b", "c")], [("a", "b"), ("b", "a")]], ids=["in a chain", "crosswise"])
async def test_merges_at_the_same_time_lose_nothing_of_their_contacts(
    ingest_settings: IngestSettings, knowing: httpx.AsyncClient, pairs: list[tuple[str, str]]
) -> None:
    contacts = [{"id": each, "attributes": {f"of_{each}": 1}} for each in "abc"]
    assert (await knowing.post("/api/v2/contacts", json={"contacts": contacts})).status_code == 202
    await merge_at_once(knowing, *pairs)
    left = await contacts_on(ingest_settings)
    assert {name for attributes in left.values() for name in attributes} == {"of_a", "of_b", "of_c"}


async def test_of_merges_into_one_contact_at_the_same_time_only_the_first_gives_what_it_lacks(
    knowing: httpx.AsyncClient,
) -> None:
    contacts = [{"id": each, "attributes": {"plan": each}} for each in "ab"] + [{"id": "c", "attributes": {}}]
    assert (await knowing.post("/api/v2/contacts", json={"contacts": contacts})).status_code == 202
    assert sorted(await merge_at_once(knowing, ("a", "c"), ("b", "c"))) == [[], ["plan"]]


async def test_a_merge_waits_for_earlier_ones_of_its_contacts_alone_and_not_for_ever(
    settings: IngestSettings, merging: Merging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging_module, "TURN_WITHIN_S", 0.05)
    async with merging.turn({ContactId("a"), ContactId("b")}):
        async with merging.turn({ContactId("c"), ContactId("d")}):
            pass
        with pytest.raises(ContactsBusyError):
            async with merging.turn({ContactId("b"), ContactId("c")}):
                pytest.fail("two merges have the same contact in hand")
    async with merging.turn({ContactId("b"), ContactId("c")}):
        pass


async def test_a_merge_that_means_nothing_is_refused(running: Running) -> None:
    bodies: list[tuple[Any, str]] = [
        ({}, "invalid_into"),
        ({"into": ""}, "invalid_into"),
        ({"into": "u"}, "same_contact"),
        ({"into": "v", "prefer": "v"}, "unknown_field"),
        ([], "invalid_into"),
    ]
    for body, code in bodies:
        answer = await running.http.post("/api/v2/contacts/u/merge", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == code
