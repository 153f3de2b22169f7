"""The console's reads over the real evaluator's read API: two partitions, real stores, real answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.evaluator_status import PartitionState, PartitionStatusRecord
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.model import ContactId, InstantMs
from services.console.app import build_app
from services.console.declarations import Declarations
from services.console.feed import Feed
from services.console.forward import Ingest
from services.console.hour import Hour
from services.console.owners import Owners
from services.console.settings import ConsoleSettings
from services.console.status import StatusBoard
from services.evaluator.partition import Partition
from services.evaluator.read_api import create_read_api
from services.evaluator.restored import restore
from services.evaluator.serving import Serving
from services.evaluator.store import RocksStore, StoreMemory
from services.runtime.keys import KeyFile, Scope
from tests.services.evaluator.inputs import NOW, Record, definition, tick, write
from tidegate import Tidegate

PARTITIONS = 2
PRO = [{"plan": "pro"}]


class ReadSide:
    """A console, and the partitions that it reads."""

    def __init__(self, directory: Path) -> None:
        memory = StoreMemory(8 << 20)
        self.stores = [RocksStore(directory / str(index), memory) for index in range(PARTITIONS)]
        self.partitions = [
            Partition(index, PARTITIONS, "contact-changes", store, restore(store))
            for index, store in enumerate(self.stores)
        ]
        serving = Serving()
        board = StatusBoard(PARTITIONS)
        self.declarations = Declarations()
        for partition, store in zip(self.partitions, self.stores, strict=True):
            serving.started(partition, store)
            board.take(
                PartitionStatusRecord(
                    partition=partition.index,
                    owner="http://owner",
                    state=PartitionState.READY,
                    reported_at=InstantMs(NOW),
                )
            )
        settings = ConsoleSettings(partitions=PARTITIONS, data_dir=directory)
        keys = KeyFile(settings.keys_path)
        self.headers = {"Authorization": f"Bearer {keys.create('test', list(Scope)).token}"}
        self.owners = Owners(board, PARTITIONS, httpx.ASGITransport(create_read_api(serving, PARTITIONS)))
        self.ingest = Ingest("http://ingest", httpx.MockTransport(self._validated))
        told = (board, Hour(InstantMs(NOW)), Feed(PARTITIONS), self.declarations)
        self.app = build_app(settings, keys, *told, self.owners, self.ingest)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://console")

    def _validated(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"where": json.loads(request.content)["where"]})

    def commit(self, *records: Record) -> None:
        """Each record to where it belongs: definitions to every partition."""
        for partition in self.partitions:
            mine = [
                record
                for record in records
                if record.key is None or partition_for(ContactId(record.key.decode()), PARTITIONS) == partition.index
            ]
            partition.consume(mine)
            while partition.behind_definitions:
                partition.backfill(100)
            partition.take_unsent()
            partition.seal()
            partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))
            while partition.unreadable.is_behind:
                partition.count_unreadable(100)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(f"/api/v2{path}", params=params, headers=self.headers)

    async def close(self) -> None:
        await self.http.aclose()
        await self.owners.close()
        await self.ingest.close()
        for store in self.stores:
            store.close()


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[ReadSide]:
    made = ReadSide(tmp_path)
    yield made
    await made.close()


def plans(offset: int, second: int, plan: str, contacts: int = 7) -> list[Record]:
    return [write(offset + at, f"u{at}", NOW + second * 1_000, plan=plan) for at in range(contacts)]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_a_segments_changes_come_in_whole_pages_newest_first(side: ReadSide, limit: int) -> None:
    side.commit(definition(0, PRO), *plans(1, 1, "pro"), *plans(10, 2, "free"), *plans(20, 2, "pro"))
    seen: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = (await side.get("/segments/s/changes", limit=limit, **({"after": after} if after else {}))).json()
        seen += page["changes"]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len({change["event_id"] for change in seen}) == 21
    assert [change["at"] for change in seen] == sorted((change["at"] for change in seen), reverse=True)


async def test_a_contacts_changes_come_in_pages(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 1, "pro", 1), *plans(2, 2, "free", 1), *plans(3, 3, "pro", 1))
    first = (await side.get("/contacts/u0/changes", limit=2)).json()
    rest = (await side.get("/contacts/u0/changes", limit=2, after=first["next"])).json()
    assert [change["change"] for change in [*first["changes"], *rest["changes"]]] == ["enter", "exit", "enter"]
    assert rest["next"] is None
    assert (await side.get("/contacts/nobody/changes")).status_code == 404
    assert (await side.get("/contacts/u0/changes", after="x")).status_code == 422


@pytest.mark.parametrize("rest", ["members", "changes", "cost"])
async def test_an_unknown_segment_is_404_and_an_empty_one_is_not(side: ReadSide, rest: str) -> None:
    side.commit(definition(0, PRO))
    unknown = await side.get(f"/segments/nope/{rest}")
    assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "application/problem+json")
    assert (await side.get(f"/segments/s/{rest}")).status_code == 200


async def test_a_past_membership_is_told_or_said_to_be_unknown(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 10, "pro"), *plans(10, 20, "free"))
    then = (await side.get("/contacts/u0/membership", segment="s", at="2026-09-21T14:13:31Z")).json()
    assert then == {
        "contact_id": "u0",
        "segment_id": "s",
        "at": "2026-09-21T14:13:31.000Z",
        "member": True,
        "since": "2026-09-21T14:13:30.000Z",
        "unknown": None,
        "history_begins_at": None,
    }
    assert (await side.get("/contacts/u0/membership", segment="s")).json()["member"] is False
    later = (await side.get("/contacts/u0/membership", segment="s", at="2027-01-01")).json()
    assert (later["member"], later["unknown"]) == (None, "not_evaluated_yet")
    for params, status in (
        ({"segment": "s", "at": "soon"}, 422),
        ({"segment": "nope"}, 404),
        ({}, 422),
    ):
        assert (await side.get("/contacts/u0/membership", **params)).status_code == status
    assert (await side.get("/contacts/nobody/membership", segment="s")).json()["code"] == "not_found"


async def test_a_membership_is_told_through_ticks_that_no_commit_has_followed(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 10, "pro"))
    for partition in side.partitions:
        partition.consume([tick(100, NOW + 60_000)])
    for instant in ({}, {"at": "2026-09-21T14:14:00Z"}):
        told = (await side.get("/contacts/u0/membership", segment="s", **instant)).json()
        assert (told["member"], told["unknown"]) == (True, None)
        assert told["at"] >= "2026-09-21T14:14:00.000Z"


async def test_the_client_reads_pages_and_past_memberships(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 10, "pro", 3), *plans(10, 20, "free", 3))
    key = side.headers["Authorization"].removeprefix("Bearer ")
    async with Tidegate("http://console", key=key, transport=httpx.ASGITransport(side.app)) as client:
        first = await client.segment_changes("s", limit=4)
        rest = await client.segment_changes("s", limit=4, after=first.next)
        assert (len(first.changes), len(rest.changes), rest.next) == (4, 2, None)
        newest = await client.contact_changes("u1", limit=1)
        assert (await client.contact_changes("u1", after=newest.next)).changes[0].change == "enter"
        then = await client.membership("u1", "s", at=datetime.fromtimestamp(NOW / 1_000 + 15, UTC))
        assert (then.member, (await client.membership("u1", "s")).member) == (True, False)


async def test_attributes_carry_their_declaration_and_their_unreadable_values(side: ReadSide) -> None:
    side.commit(definition(0, [{"mrr": {"gt": 9}}]))
    side.commit(*(write(1 + at, f"u{at}", mrr="lots" if at % 2 else at, trial_ends_at=NOW) for at in range(6)))
    declared = {"name": "mrr", "type": "number", "direction": None, "declared_at": NOW}
    side.declarations.take(b"mrr", json.dumps(declared).encode())
    side.declarations.take(b"unused", json.dumps({**declared, "name": "unused", "direction": "next"}).encode())
    answer = (await side.get("/attributes")).json()
    found = {entry["name"]: entry for entry in answer["attributes"]}
    assert found["mrr"]["type"] == "number"
    assert found["mrr"]["unreadable"] == [{"reading": "number", "contacts": 3, "sample": "lots", "settling": False}]
    assert (found["trial_ends_at"]["direction"], found["trial_ends_at"]["direction_declared"]) == ("next", False)
    assert (found["unused"]["contacts"], found["unused"]["direction_declared"]) == (0, True)
    side.declarations.take(b"unused", None)
    names = [entry["name"] for entry in (await side.get("/attributes")).json()["attributes"]]
    assert "unused" not in names


async def test_the_difference_of_a_preview_is_exact(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 1, "pro", 5))
    side.commit(write(20, "x1", NOW + 2_000, plan="team"), write(21, "x2", NOW + 2_000, plan="team"))
    side.commit(write(22, "u0", NOW + 3_000, plan="team", vip=True), write(23, "u1", NOW + 3_000, vip=True))
    body = {"where": [{"any": [{"vip": True}, {"plan": "team"}]}], "id": "s"}
    answer = (await side.http.post("/api/v2/segments/preview", json=body, headers=side.headers)).json()
    assert answer == {
        "matched": 4,
        "total": 7,
        "sample": ["u0", "u1", "x1", "x2"],
        "would_enter": 3,
        "would_leave": 3,
        "complete": True,
        "counted": 7,
    }


async def test_the_cost_of_a_segment_is_measured(side: ReadSide) -> None:
    side.commit(definition(0, PRO), *plans(1, 1, "pro"))
    cost = (await side.get("/segments/s/cost")).json()
    assert 0 < cost["evaluation_us"] < 10_000
    assert 0 < cost["contacts_measured"] <= 7
