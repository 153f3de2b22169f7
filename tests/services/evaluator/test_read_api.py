"""The internal read API over a real store: what it answers, and whom it sends elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from schemas.events import SEGMENT_DEFINED_HEADERS
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.model import ContactId, InstantMs
from services.evaluator.partition import Partition
from services.evaluator.read_api import BASE, create_read_api
from services.evaluator.restored import restore
from services.evaluator.serving import Serving
from services.evaluator.store import RocksStore, StoreMemory
from services.evaluator.worker import Committed
from tests.waiting import until

NOW = 1_790_000_000_000
PARTITIONS = 1


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def definition(segment_id: str, where: object) -> bytes:
    return json.dumps(
        {"segment_id": segment_id, "version": 1, "replaces": 0, "name": segment_id, "where": where, "text": ""}
    ).encode()


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[tuple[Partition, RocksStore]]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    partition = Partition(0, PARTITIONS, "contact-changes", store, restore(store))
    yield partition, store
    store.close()


def commit(partition: Partition, listener: Any, inputs: list[tuple[bytes | None, object]]) -> None:
    records = []
    for place, (key, value) in enumerate(inputs):
        body = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        headers = SEGMENT_DEFINED_HEADERS if key is None else ()
        records.append(Record(partition.next_offset + place, NOW + place, key, body, tuple(headers)))
    partition.consume(records)
    while partition.behind_definitions and partition.backfill(100) >= 0:
        pass
    partition.take_unsent()
    partition.seal()
    changes = partition.committed({Topic.CONTACTS_CHANGELOG: 1, Topic.CONTROL_CHANGELOG: 1}, InstantMs(NOW))
    listener(Committed(partition.next_offset, len(records), changes, (), 0.001))


@pytest.fixture
async def api(partition: tuple[Partition, RocksStore]) -> AsyncIterator[tuple[httpx.AsyncClient, Serving, Any]]:
    serving = Serving()
    listener = serving.started(*partition).on_commit
    transport = httpx.ASGITransport(app=create_read_api(serving, PARTITIONS))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://evaluator{BASE}") as client:
        commit(
            partition[0],
            listener,
            [
                (None, definition("pro", [{"plan": "pro"}])),
                (b"u1", {"attributes": {"plan": "Pro"}}),
                (b"u2", {"attributes": {"plan": "free"}}),
                (b"a/b c", {"attributes": {"plan": "pro"}}),
            ],
        )
        yield client, serving, listener


Api = tuple[httpx.AsyncClient, Serving, Any]


async def test_a_contact_is_answered_with_attributes_and_memberships(api: Api) -> None:
    answer = (await api[0].get("/contacts/u1")).json()
    assert answer["attributes"] == {"plan": "Pro"}
    assert answer["members"] == {"pro": NOW + 1}
    assert answer["partition"] == 0


async def test_an_id_of_two_dots_is_a_contact_as_any_other(api: Api, partition: tuple[Partition, RocksStore]) -> None:
    client, serving, _ = api
    commit(partition[0], serving.started(*partition).on_commit, [(b"..", {"attributes": {"plan": "pro"}})])
    assert (await client.get("/contacts/%2E%2E")).json()["contact_id"] == ".."
    assert len((await client.get("/contacts/%2E%2E/changes")).json()["changes"]) == 1


async def test_an_id_with_a_slash_and_a_blank_is_one_contact(api: Api) -> None:
    assert (await api[0].get("/contacts/a%2Fb%20c")).json()["contact_id"] == "a/b c"
    assert len((await api[0].get("/contacts/a%2Fb%20c/changes")).json()["changes"]) == 1


async def test_an_unknown_contact_is_404_and_a_partition_worked_elsewhere_421(api: Api) -> None:
    client, serving, _ = api
    assert (await client.get("/contacts/nobody")).status_code == 404
    serving.stopping(0)
    elsewhere = await client.get("/contacts/u1")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (421, "not_owner")


async def test_a_recovering_partition_asks_to_come_back(api: Api) -> None:
    client, serving, _ = api
    serving.stopping(0)
    serving.assigned([0])
    answer = await client.get("/segments/pro/members?partition=0")
    assert (answer.status_code, answer.json()["code"]) == (503, "recovering")
    assert answer.headers["Retry-After"] == "1"


async def test_members_and_contacts_come_in_pages_of_byte_order(api: Api) -> None:
    client = api[0]
    first = (await client.get("/segments/pro/members?partition=0&limit=1")).json()
    assert first == {"members": [{"contact_id": "a/b c", "since_ms": NOW + 3}], "next": "a/b c", "known": True}
    second = (await client.get("/segments/pro/members?partition=0&limit=1&after=a/b c")).json()
    assert [member["contact_id"] for member in second["members"]] == ["u1"]
    assert (await client.get("/contacts?partition=0&prefix=u")).json()["contacts"] == ["u1", "u2"]
    assert (await client.get("/contacts?partition=0&prefix=u&after=u1")).json()["contacts"] == ["u2"]


async def test_changes_come_newest_first_and_are_the_published_records(
    api: Api, partition: tuple[Partition, RocksStore]
) -> None:
    client, _, listener = api
    commit(partition[0], listener, [(b"u1", {"attributes": {"plan": "free"}})])
    changes = (await client.get("/contacts/u1/changes")).json()["changes"]
    assert [change["change"] for change in changes] == ["exit", "enter"]
    assert changes[0]["event_id"] == f"pro|u1|{NOW + 3}|4"
    of_segment = (await client.get("/segments/pro/changes?partition=0&limit=2")).json()["changes"]
    assert [change["contact_id"] for change in of_segment] == ["u1", "a/b c"]


async def test_changes_come_in_pages_that_leave_out_and_repeat_nothing(
    api: Api, partition: tuple[Partition, RocksStore]
) -> None:
    client, _, listener = api
    for plan in ("free", "pro", "free", "pro"):
        commit(partition[0], listener, [(b"u1", {"attributes": {"plan": plan}})])
    for path in ("/contacts/u1/changes?", "/segments/pro/changes?partition=0&"):
        whole = (await client.get(path)).json()
        assert whole["next"] is None
        paged: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await client.get(f"{path}limit=2&after={cursor}")).json()
            paged += page["changes"]
            cursor = page["next"]
        assert paged == whole["changes"]
        assert len(paged) == len({change["event_id"] for change in paged}) >= 5


async def test_lists_of_a_segment_say_whether_it_is_known(api: Api) -> None:
    for path in ("members", "changes"):
        assert (await api[0].get(f"/segments/pro/{path}?partition=0")).json()["known"] is True
        assert (await api[0].get(f"/segments/nope/{path}?partition=0")).json()["known"] is False


async def test_a_past_membership_is_answered_in_milliseconds(api: Api) -> None:
    answer = (await api[0].get(f"/contacts/u1/membership?segment=pro&at={NOW + 3}")).json()
    assert answer == {
        "at_ms": NOW + 3,
        "member": True,
        "since_ms": NOW + 1,
        "unknown": None,
        "known_from_ms": None,
    }
    assert (await api[0].get(f"/contacts/nobody/membership?segment=pro&at={NOW}")).json()["code"] == "unknown_contact"
    assert (await api[0].get(f"/contacts/u1/membership?segment=no&at={NOW}")).json()["code"] == "unknown_segment"


async def test_unreadable_values_are_listed_by_reading(api: Api, partition: tuple[Partition, RocksStore]) -> None:
    client, _, listener = api
    commit(partition[0], listener, [(None, definition("rich", [{"mrr": {"gt": 9}}]))])
    commit(partition[0], listener, [(b"u1", {"attributes": {"mrr": "lots"}})])
    partition[0].count_unreadable(100)
    assert (await client.get("/unreadable?partition=0")).json()["readings"] == [
        {"attribute": "mrr", "reading": "number", "contacts": 1, "sample": "lots", "settling": False}
    ]


async def test_the_cost_of_a_segment_is_measured_on_real_contacts(api: Api) -> None:
    cost = (await api[0].get("/segments/pro/cost?partition=0")).json()
    assert cost["contacts"] == 3
    assert 0 < cost["evaluation_us"] < 10_000
    assert (await api[0].get("/segments/nope/cost?partition=0")).json()["code"] == "unknown_segment"


async def test_counts_follow_members(api: Api) -> None:
    counts = (await api[0].get("/counts")).json()["partitions"]["0"]
    assert (counts["contacts"], counts["segments"], counts["settling"]) == (3, {"pro": 2}, {})


async def test_an_erased_contact_is_gone_from_every_answer(api: Api, partition: tuple[Partition, RocksStore]) -> None:
    client, _, listener = api
    commit(partition[0], listener, [(b"u1", None)])
    assert (await client.get("/contacts/u1")).status_code == 404
    assert (await client.get("/contacts/u1/changes")).json()["changes"] == []
    for path in ("/segments/pro/members?partition=0", "/segments/pro/changes?partition=0", "/contacts?partition=0"):
        assert "u1" not in (await client.get(path)).text
    assert not [row for row in partition[1].scan(b"\0", b"\xff", 1_000) if b"u1" in row[0] + row[1]]


async def test_explain_gives_the_tree_and_since_when(api: Api) -> None:
    answer = (await api[0].get("/contacts/u2/explain?segment=pro")).json()
    assert (answer["member"], answer["holds"], answer["tree"]["attribute"]) == (False, False, "plan")
    assert (await api[0].get("/contacts/u2/explain?segment=unknown")).status_code == 404


async def test_a_preview_counts_samples_and_compares(api: Api) -> None:
    answer = (await api[0].post("/preview?partition=0", json={"where": "plan is free", "segment_id": "pro"})).json()
    assert answer == {
        "matched": 1, "counted": 3, "total": 3, "complete": True, "sample": ["u2"], "would_enter": 1, "would_leave": 2,
    }  # fmt: skip
    assert (await api[0].post("/preview?partition=0", json={"where": "plan is"})).status_code == 422


async def test_what_previews_hold_of_a_partition_goes_with_it(api: Api) -> None:
    client, serving, _ = api
    await client.post("/preview?partition=0", json={"where": "plan is free"})
    assert serving._memory.held > 0
    serving.stopping(0)
    assert serving._memory.held == 0
    assert (await client.post("/preview?partition=0", json={"where": "plan is free"})).status_code == 421


async def test_attributes_are_answered_in_bulk_without_those_who_do_not_exist(api: Api) -> None:
    answer = await api[0].post("/attributes", json={"partition": 0, "contact_ids": ["u2", "nobody"]})
    assert answer.json() == {"contacts": {"u2": {"plan": "free"}}}


async def test_an_outcome_is_told_once_it_is_committed(api: Api, partition: tuple[Partition, RocksStore]) -> None:
    client, _, listener = api
    early = await client.post("/outcomes", json={"partition": 0, "offsets": [4], "timeout_ms": 1})
    assert early.json() == {"outcomes": [{"offset": 4, "committed": False, "changes": None}]}
    commit(partition[0], listener, [(b"u2", {"attributes": {"plan": "pro"}})])
    outcomes = (await client.post("/outcomes", json={"partition": 0, "offsets": [4, 2], "timeout_ms": 1_000})).json()
    assert [outcome["committed"] for outcome in outcomes["outcomes"]] == [True, True]
    assert [change["segment_id"] for change in outcomes["outcomes"][0]["changes"]] == ["pro"]
    assert outcomes["outcomes"][1]["changes"] == []


async def test_who_waits_for_a_partition_that_is_given_up_is_answered_by_its_last_commit_or_sent_to_its_next_owner(
    api: Api, partition: tuple[Partition, RocksStore]
) -> None:
    client, serving, listener = api
    asked = [
        asyncio.create_task(client.post("/outcomes", json={"partition": 0, "offsets": [offset], "timeout_ms": 30_000}))
        for offset in (4, 5)
    ]
    outcomes = serving.served[0].outcomes
    await until(lambda: len(outcomes._waiters) == len(asked), 10, "both requests to wait")
    serving.stopping(0)
    commit(partition[0], listener, [(b"u2", {"attributes": {"plan": "pro"}})])
    serving.stopped(0)
    async with asyncio.timeout(10):
        last, next_owners = await asyncio.gather(*asked)
    assert [change["segment_id"] for change in last.json()["outcomes"][0]["changes"]] == ["pro"]
    assert (next_owners.status_code, next_owners.json()["code"]) == (421, "not_owner")


@pytest.mark.parametrize(
    "path", ["/contacts/u1/changes?after=yesterday", "/segments/pro/changes?partition=0&after=1.2."]
)
async def test_a_malformed_cursor_is_422(api: Api, path: str) -> None:
    assert (await api[0].get(path)).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/contacts/u1/membership?segment=pro&at=2026-01-01",
        "/contacts/u1/membership?segment=pro&at=99999999999999999999",
        "/segments/pro/members?partition=x",
        f"/segments/pro/members?partition={'9' * 5_000}",
        f"/contacts?partition=0&limit={'9' * 5_000}",
    ],
)
async def test_a_malformed_read_is_400(api: Api, path: str) -> None:
    assert (await api[0].get(path)).status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/outcomes", {"partition": 0, "offsets": []}),
        ("/outcomes", {"partition": 9, "offsets": [1]}),
        ("/outcomes", {"partition": 0, "offsets": [1], "timeout_ms": "long"}),
        ("/attributes", {"partition": 0, "contact_ids": "u1"}),
        ("/attributes", []),
    ],
)
async def test_a_malformed_question_is_400(api: Api, path: str, body: object) -> None:
    assert (await api[0].post(path, json=body)).status_code == 400


def test_the_test_contacts_live_in_the_one_partition() -> None:
    assert partition_for(ContactId("u1"), PARTITIONS) == 0
