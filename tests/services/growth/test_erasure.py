"""An erased contact is gone down to the files: of the broker, of the stores, of imports, requests, logs and metrics."""

from __future__ import annotations

import asyncio
import operator
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from deploy.local.kafka import LocalKafka
from deploy.workspace.broker import connected
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.evaluators import owners
from schemas.topics import Topic
from schemas.webhook import WebhookFailureRecord, failure_key
from segmentation.model import ContactId, InstantMs, SegmentId
from tests.brokers import local_broker
from tests.faults.process import Evaluator, Scheduler
from tests.faults.workspace import Workspace
from tests.oracle.checker import fold
from tests.oracle.partitions import home_partition
from tests.services.growth.figures import tell
from tests.services.growth.serving import ingest
from tests.waiting import until
from tidegate.cli.main import app

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

CANARY = "canary-4929-1111-2222"
ERASED = "erased-contact-4711"
OTHERS = 40
PROPERTIES = {
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.segment.delete.delay.ms": "1000",
}
"""How often the broker looks for what to do, and how long it keeps a deleted file; by default it is minutes."""
GONE_TIMEOUT_S = 120.0
SEARCHES_MAX = 100
SHARED_TIMEOUT_S = IMPORT_TIMEOUT_S = MEMBERS_TIMEOUT_S = 60.0


@pytest.fixture
def eager_broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of this test's own, whose files are looked into."""
    with local_broker(tmp_path / "kafka", PROPERTIES) as kafka:
        yield kafka


async def test_no_file_holds_a_value_of_an_erased_contact_after_clearing(
    eager_broker: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(eager_broker.bootstrap, topic_prefix, partitions=2, broker_stamps=True)
    await workspace.create()
    data = tmp_path / "data"
    with Evaluator(workspace, data, log_level="DEBUG") as evaluator, Scheduler(workspace, data) as scheduler:
        evaluator.start()
        scheduler.start()
        await evaluator.ready()
        async with ingest(workspace, data) as http:
            await write_everywhere(workspace, http)
            await until_members(workspace, {ERASED, *others()})
            assert len(files_with(tmp_path, CANARY)) >= 5, "a search that finds nothing before proves nothing after"
            (await http.delete(f"/api/v2/contacts/{ERASED}")).raise_for_status()
            await until_members(workspace, others())
            said = await asyncio.to_thread(clear, workspace, data)
        metrics = await evaluator.told("/metrics")
        # The broker takes its time to remove what it has replaced.
        await until(lambda: files_with(tmp_path, CANARY), GONE_TIMEOUT_S, "no file to hold it", 1.0, operator.not_)
        assert metrics is not None
        assert CANARY not in metrics
        assert await members_of(workspace) == others(), "who was not erased is still there"
        assert await given_up(workspace) == {"of-other-0"}
        assert await evaluator.stop() == 0
        assert await scheduler.stop() == 0
    tell(f"erasure: {said.strip()}; the id itself is left in {files_with(tmp_path, ERASED)}")
    assert files_with(tmp_path, CANARY) == []


async def test_no_store_that_an_evaluator_keeps_of_a_partition_that_it_gave_up_holds_who_was_erased_since(
    eager_broker: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(eager_broker.bootstrap, topic_prefix, partitions=2, broker_stamps=True)
    await workspace.create()
    # One in each partition: whichever is given up, its store holds somebody.
    erased = {home_partition(each, 2): each for each in (ContactId(f"{ERASED}-{n}") for n in range(100))}
    paths = [f"/api/v2/contacts/{contact_id}" for contact_id in erased.values()]
    with (
        Evaluator(workspace, tmp_path / "one") as one,
        Evaluator(workspace, tmp_path / "two") as two,
        Scheduler(workspace, tmp_path / "scheduler") as scheduler,
    ):
        one.start()
        scheduler.start()
        await one.ready()
        async with ingest(workspace, tmp_path / "ingest") as http:
            body = {"id": "pros", "where": 'plan is "pro"'}
            (await http.post("/api/v2/segments", json=body)).raise_for_status()
            for path in paths:
                attributes = {"plan": "pro", "card": CANARY}
                (await http.patch(path, json={"attributes": attributes})).raise_for_status()
            await until_members(workspace, set(erased.values()))
            two.start()
            for each in (one, two):
                await until(partial(works_one, each), SHARED_TIMEOUT_S, "each evaluator to work one partition")
            await until(partial(told_owners, workspace), SHARED_TIMEOUT_S, "both to have said so", 0.2, is_two)
            assert files_with(tmp_path / "one" / "evaluator", CANARY)
            for path in paths:
                (await http.delete(path)).raise_for_status()
            await until_members(workspace, set())
            await asyncio.to_thread(clear, workspace, tmp_path / "ingest")
        assert files_with(tmp_path / "one", CANARY) + files_with(tmp_path / "two", CANARY) == []
        for service in (one, two, scheduler):
            assert await service.stop() == 0


async def works_one(evaluator: Evaluator) -> bool:
    """Whether an evaluator is ready and has one partition."""
    told = await evaluator.told("/ready")
    return told is not None and len(re.findall(r"\[\d+\]", told)) == 1


async def told_owners(workspace: Workspace) -> list[str]:
    """The evaluators that the status topic names; a partition is ready a moment before it is told to be."""
    async with connected(workspace.settings) as broker:
        try:
            return await owners(broker, workspace.prefix)
        except OperationRefusedError:
            return []


def is_two(addresses: list[str]) -> bool:
    """Whether two evaluators share the partitions."""
    return len(addresses) == 2


async def write_everywhere(workspace: Workspace, http: httpx.AsyncClient) -> None:
    """Bring the canary through every door: requests, a retried one, a patch, an import, a rejected row, poison."""
    segment = {"id": "pros", "where": 'plan is "pro"'}
    (await http.post("/api/v2/segments", json=segment)).raise_for_status()
    for contact_id in sorted(others()):
        body = {"id": contact_id, "attributes": {"plan": "pro", "note": "of another"}}
        (await http.post("/api/v2/contacts", json=body)).raise_for_status()
    erased = {"id": ERASED, "attributes": {"plan": "pro", "card": CANARY}}
    for headers in ({}, {"Idempotency-Key": "once"}, {"Idempotency-Key": "once"}, {"Prefer": "wait=5"}):
        (await http.post("/api/v2/contacts", json=erased, headers=headers)).raise_for_status()
    patch = {"attributes": {"card": f"{CANARY}-patched"}}
    (await http.patch(f"/api/v2/contacts/{ERASED}", json=patch)).raise_for_status()
    rows = f"contact_id,card\n{ERASED},{CANARY}-imported\n,{CANARY}-rejected\n".encode()
    path = "/api/v2/imports?commit=true&id_column=contact_id&filename=c.csv"
    made = (await http.post(path, content=rows)).raise_for_status().json()

    async def state() -> str:
        return str((await http.get(f"/api/v2/imports/{made['id']}")).json()["state"])

    await until(state, IMPORT_TIMEOUT_S, "the import to be completed", satisfies=lambda told: told == "completed")
    producer = AIOKafkaProducer(bootstrap_servers=workspace.broker)
    await producer.start()
    try:
        topic = workspace.name(Topic.CONTACT_CHANGES)
        await producer.send_and_wait(topic, f'{{"attributes": {CANARY}'.encode(), ERASED.encode(), partition=0)
        for contact_id, said in ((ERASED, CANARY), ("other-0", "of another")):
            failure = WebhookFailureRecord(
                webhook_id="wh_1",
                failure_id=f"of-{contact_id}",
                delivery_id="d",
                contact_id=contact_id,
                failed_at=InstantMs(0),
                attempts=1,
                reason="the receiver answered 404",
                body=f'{{"contact_id": "{said}"}}',
            )
            key = failure_key(failure.webhook_id, failure.failure_id)
            await producer.send_and_wait(workspace.name(Topic.WEBHOOKS), failure.encode(), key, partition=0)
    finally:
        await producer.stop()


async def given_up(workspace: Workspace) -> set[str]:
    """The failures of webhooks that are kept."""
    kept: set[str] = set()
    async with connected(workspace.settings) as broker:
        async for _, records, _ in broker.read(workspace.name(Topic.WEBHOOKS), {0: 0}):
            for record in records:
                failure_id = record.key.decode().rpartition("|")[2]
                kept.discard(failure_id)
                if record.value is not None:
                    kept.add(failure_id)
    return kept


def clear(workspace: Workspace, data: Path) -> str:
    """Run the command as an operator does."""
    environment = {
        "TIDEGATE_KAFKA_BOOTSTRAP": workspace.broker,
        "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
        "TIDEGATE_DATA_DIR": str(data),
    }
    dropped = [word for topic in ("contact-changes", "dead-letters", "requests") for word in ("--drop", topic)]
    said = CliRunner().invoke(app, ["admin", "clear-erased", *dropped, "--imports"], env=environment)
    assert said.exit_code == 0, said.output
    return said.stdout


def others() -> set[str]:
    return {f"other-{number}" for number in range(OTHERS)}


async def members_of(workspace: Workspace) -> set[str]:
    """The segment's members, as a consumer of committed records has them."""
    return set(fold(await workspace.published()).get(SegmentId("pros"), set()))


async def until_members(workspace: Workspace, wanted: set[str]) -> None:
    """Wait until the segment has exactly these members."""
    awaited = f"the members {sorted(wanted)}"
    await until(lambda: members_of(workspace), MEMBERS_TIMEOUT_S, awaited, satisfies=lambda found: found == wanted)


def files_with(folder: Path, text: str) -> list[str]:
    """Every file below a folder that holds the text.

    Errors: AssertionError when files come and go so fast that no search sees all of them.
    """
    for _ in range(SEARCHES_MAX):
        found = searched(folder, text)
        if found is not None:
            return found
    raise AssertionError(f"{SEARCHES_MAX} searches of {folder} in a row met files that were being moved")


def searched(folder: Path, text: str) -> list[str] | None:
    """One search. None when a file was gone before it was read: under another name it may still hold the text."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            if not path.is_dir() and text.encode() in path.read_bytes():
                found.append(str(path.relative_to(folder)))
        except FileNotFoundError:
            return None
    return found


def test_a_file_that_is_renamed_during_a_search_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.log").write_text(f"a {CANARY} here")
    read = Path.read_bytes

    def renamed_just_before(path: Path) -> bytes:
        if path.name == "b.log":
            path.rename(tmp_path / "a.log.deleted")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", renamed_just_before)
    assert files_with(tmp_path, CANARY) == ["a.log.deleted"]
