"""`Idempotency-Key`: a repeat gets the first answer, from any process, after any restart."""

from __future__ import annotations

import asyncio
import resource
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.request_record import RequestRecord, RequestState
from schemas.topics import Topic, topic_name
from services.ingest.contact_log import ContactLog, NotAppended
from services.ingest.request_store import CLAIM_STALE_MS, HONOURED_MS, RequestStore, Step
from services.ingest.service import Ingest
from services.runtime import following
from services.runtime.errors import ServiceError
from services.runtime.keys import KeyFile, Scope
from services.runtime.metrics import REGISTRY
from services.runtime.web import listen, serve
from tests.services.ingest.conftest import Running, client_of, read_all, write

WAIT_S = 60.0
CONTACT = {"id": "u_17", "attributes": {"plan": "pro"}}


async def post(client: httpx.AsyncClient, key: str, body: Any = None) -> httpx.Response:
    return await client.post("/api/v2/contacts", json=body or CONTACT, headers={"Idempotency-Key": key})


async def written(running: Running) -> int:
    return len(await read_all(running.settings, Topic.CONTACT_CHANGES))


def counted(status: int) -> float:
    labels = {"method": "POST", "route": "/api/v2/contacts", "status": str(status)}
    return REGISTRY.get_sample_value("tidegate_requests_total", labels) or 0.0


@pytest.mark.broker
async def test_a_repeat_gets_the_first_answer_and_writes_nothing(running: Running) -> None:
    first, again = await post(running.http, "k1"), await post(running.http, "k1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await written(running) == 1


@pytest.mark.broker
async def test_another_request_under_the_same_key_is_refused(running: Running) -> None:
    await post(running.http, "k1")
    other = await post(running.http, "k1", {**CONTACT, "id": "u_18"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await written(running) == 1


@pytest.mark.broker
async def test_keys_of_different_senders_do_not_meet(running: Running) -> None:
    await post(running.http, "k1")
    assert (await post(running.client(Scope.CONTACTS_WRITE), "k1")).status_code == 202
    assert await written(running) == 2


@pytest.mark.broker
async def test_a_refusal_is_kept_like_any_answer(running: Running) -> None:
    first, again = await post(running.http, "k2", {"id": ""}), await post(running.http, "k2", {"id": ""})
    assert (first.status_code, again.status_code) == (422, 422)
    assert again.headers["content-type"] == "application/problem+json"
    assert again.json() == first.json()


@pytest.mark.broker
async def test_repeats_at_the_same_time_at_two_processes_write_once(running: Running) -> None:
    token = KeyFile(running.settings.keys_path).create("other", frozenset(Scope)).token
    async with Ingest.running(running.settings) as other:
        clients = [client_of(app, token) for app in (running.ingest.app, other.app)]
        answers = await asyncio.gather(*(post(client, "k1") for client in clients * 4))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert [("idempotency-replayed" in answer.headers) for answer in answers].count(False) == 1
    assert await written(running) == 1


@pytest.mark.broker
@pytest.mark.parametrize("table", ["kept", "lost"])
async def test_a_restart_changes_nothing(running: Running, tmp_path: Path, table: str) -> None:
    first = await post(running.http, "k1")
    settings = running.settings
    token = running.http.headers["authorization"].removeprefix("Bearer ")
    if table == "lost":
        settings = settings.model_copy(update={"data_dir": tmp_path / "new", "key_file": settings.keys_path})
    async with Ingest.running(settings) as restarted, client_of(restarted.app, token) as http:
        again = await post(http, "k1")
    assert again.json() == first.json()
    assert await written(running) == 1


@pytest.mark.broker
async def test_a_process_with_a_cold_table_serves_nobody_before_it_has_read_the_log(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await post(running.http, f"k{number}")
    can_fold, told = asyncio.Event(), asyncio.Event()
    fold = RequestStore.fold

    def fold_late(store: RequestStore, steps: Iterable[Step], position: int) -> None:
        if not can_fold.is_set():
            raise ServiceError("the disk is full")
        fold(store, steps, position)

    monkeypatch.setattr(RequestStore, "fold", fold_late)
    monkeypatch.setattr(following, "TOLD_EVERY_S", 0.05)
    monkeypatch.setattr(following, "RETRY_WAIT_S", 0.05)
    said: list[str] = []

    def tell(reason: str) -> None:
        said.append(reason)
        told.set()

    settings = running.settings.model_copy(
        update={"data_dir": tmp_path / "new", "key_file": running.settings.keys_path}
    )
    served = asyncio.Event()

    async def serve() -> int:
        async with Ingest.running(settings, tell=tell) as fresh:
            served.set()
            token = running.keys.create("other", frozenset(Scope)).token
            async with client_of(fresh.app, token) as http:
                return (await post(http, "k9")).status_code

    serving = asyncio.create_task(serve())
    await told.wait()
    topic = topic_name(settings.topic_prefix, Topic.REQUESTS)
    assert (said[0], served.is_set()) == (f"reading {topic}: 0 of 10", False)
    can_fold.set()
    assert await serving == 202


@pytest.mark.broker
async def test_what_could_not_be_done_now_is_not_kept(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_log: ContactLog, records: Any, _arrived_at: float) -> list[NotAppended]:
        return [NotAppended("away") for _ in records]

    with monkeypatch.context() as patched:
        patched.setattr(ContactLog, "append", away)
        assert (await post(running.http, "k1")).status_code == 503
    assert (await post(running.http, "k1")).status_code == 202
    assert await written(running) == 1


@pytest.mark.broker
async def test_a_segment_is_created_once_and_its_etag_is_kept(running: Running) -> None:
    body = {"id": "pros", "where": "plan is Pro"}
    first, again = [
        await running.http.post("/api/v2/segments", json=body, headers={"Idempotency-Key": "s1"}) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["etag"] == first.headers["etag"] == '"1"'
    assert again.headers["location"] == "/api/v2/segments/pros"


@pytest.mark.broker
async def test_a_new_keys_token_is_in_its_answer_and_nowhere_else(running: Running) -> None:
    body, headers = {"name": "crm", "scopes": ["contacts:write"]}, {"Idempotency-Key": "key-1"}
    first, again = [await running.http.post("/api/v2/keys", json=body, headers=headers) for _ in range(2)]
    token = first.json()["key"]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert "key" not in again.json()
    assert (again.json()["id"], "told once" in again.json()["notice"]) == (first.json()["id"], True)
    assert len(running.keys.keys()) == 2, "the first of them made the requests"
    secret = token.split("_", 2)[2].encode()
    records = await read_all(running.settings, Topic.REQUESTS)
    assert len(records) == 2
    assert not any(secret in record.value for record in records)
    for file in running.settings.data_dir.glob("requests.sqlite*"):
        assert secret not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.broker
async def test_a_repeat_counts_as_a_request_and_is_told_so(running: Running) -> None:
    settings = running.settings.model_copy(update={"rate_limit_per_s": 5, "data_dir": running.settings.data_dir / "2"})
    settings = settings.model_copy(update={"key_file": running.settings.keys_path})
    token = running.keys.create("busy", frozenset(Scope)).token
    async with Ingest.running(settings) as limited, client_of(limited.app, token) as http:
        before = [counted(status) for status in (202, 429)]
        answers = [await post(http, "k1") for _ in range(60)]
        after = [counted(status) for status in (202, 429)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [now - then for now, then in zip(after, before, strict=True)] == [60 - len(refused), len(refused)]
    assert len(refused) >= 30
    assert all("ratelimit" in answer.headers for answer in answers)
    assert [answer.headers["ratelimit"] for answer in answers[:2]] == ['"requests";r=4;t=1', '"requests";r=3;t=1']


@pytest.mark.broker
async def test_what_a_key_may_not_do_leaves_nothing_on_the_log(running: Running) -> None:
    reader = running.client(Scope.SEGMENTS_READ)
    nobody = client_of(running.ingest.app, None)
    for number, (http, path, expected) in enumerate(
        [
            (reader, "/api/v2/contacts", 403),
            (nobody, "/api/v2/contacts", 401),
            (running.http, "/api/v2/nowhere", 404),
            (running.http, "/api/v2/audit", 405),
        ]
    ):
        answer = await http.post(path, json=CONTACT, headers={"Idempotency-Key": f"k_{number}"})
        assert answer.status_code == expected
    assert await read_all(running.settings, Topic.REQUESTS) == []


@pytest.mark.broker
async def test_a_defect_is_answered_like_any_other_and_may_be_repeated(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, headers = {"name": "crm", "scopes": ["contacts:write"]}, {"Idempotency-Key": "key-1"}

    def broken(*_arguments: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(KeyFile, "create", broken)
        first = await running.http.post("/api/v2/keys", json=body, headers=headers)
    assert (first.status_code, first.json()["code"]) == (500, "defect")
    assert (await running.http.post("/api/v2/keys", json=body, headers=headers)).status_code == 201


UPLOAD = "/api/v2/imports?filename=f.csv&id_column=id&commit=true"
ROWS = b"id,plan\nu_17,pro\nu_18,free\n"


async def upload(client: httpx.AsyncClient, key: str, rows: bytes = ROWS, path: str = UPLOAD) -> httpx.Response:
    return await client.post(path, content=rows, headers={"Idempotency-Key": key, "Content-Type": "text/csv"})


async def import_ids(running: Running) -> list[str]:
    return [shown["id"] for shown in (await running.http.get("/api/v2/imports")).json()["imports"]]


@pytest.mark.broker
@pytest.mark.parametrize("path", [UPLOAD, "/api/v2/imports?filename=f.csv"])
async def test_an_upload_sent_again_is_the_import_that_stands(running: Running, path: str) -> None:
    first, again = await upload(running.http, "u1", path=path), await upload(running.http, "u1", path=path)
    assert first.status_code == again.status_code == (202 if path is UPLOAD else 201)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert [("idempotency-replayed" in answer.headers) for answer in (first, again)] == [False, True]
    assert await import_ids(running) == [first.json()["id"]]
    assert len(list((running.settings.data_dir / "imports").glob("imp_*"))) == 1, "the second file is not kept"
    assert not any(b"u_17" in record.value for record in await read_all(running.settings, Topic.REQUESTS))


@pytest.mark.broker
async def test_uploads_at_the_same_time_under_one_key_are_one_import(running: Running) -> None:
    answers = await asyncio.gather(*(upload(running.http, "u1") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await import_ids(running)) == 1


@pytest.mark.broker
async def test_another_file_or_another_wish_under_the_key_of_an_upload_is_refused(running: Running) -> None:
    first = await upload(running.http, "u1")
    for rows, path in ((ROWS + b"u_19,pro\n", UPLOAD), (ROWS, UPLOAD + "&again=true")):
        answer = await upload(running.http, "u1", rows, path)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await import_ids(running) == [first.json()["id"]]


@pytest.mark.broker
async def test_an_upload_that_was_refused_may_be_sent_again_under_its_key(running: Running) -> None:
    assert (await upload(running.http, "u1", b"PK\x03\x04")).status_code == 415
    assert (await upload(running.http, "u1", b"")).status_code == 422
    assert (await upload(running.http, "u1")).status_code == 202


def step(claim: str, state: RequestState, at: int) -> Step:
    return Step("d", at, RequestRecord(state=state, claim=claim, fingerprint="f", status=202))


CLAIMED, DONE, RELEASED = RequestState.CLAIMED, RequestState.DONE, RequestState.RELEASED


@pytest.mark.parametrize(
    ("steps", "standing"),
    [
        ([step("a", CLAIMED, 1), step("b", CLAIMED, 2)], ("a", CLAIMED)),
        ([step("a", CLAIMED, 1), step("a", DONE, 2), step("b", CLAIMED, 3)], ("a", DONE)),
        ([step("a", CLAIMED, 1), step("b", DONE, 2)], ("a", CLAIMED)),
        ([step("a", CLAIMED, 1), step("a", RELEASED, 2)], None),
        ([step("a", CLAIMED, 1), step("a", RELEASED, 2), step("b", CLAIMED, 3)], ("b", CLAIMED)),
        ([step("a", CLAIMED, 1), step("b", CLAIMED, 2 + CLAIM_STALE_MS), step("a", DONE, 3 + CLAIM_STALE_MS)],
         ("b", CLAIMED)),
        ([step("a", CLAIMED, 1), step("a", DONE, 2), step("b", CLAIMED, 3 + HONOURED_MS)], ("b", CLAIMED)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [True, False])
def test_every_process_sees_the_same_request_standing(
    tmp_path: Path, steps: list[Step], standing: tuple[str, RequestState] | None, at_once: bool
) -> None:
    store = RequestStore(tmp_path / "requests.sqlite", "requests")
    for position, batch in enumerate([steps] if at_once else [[one] for one in steps], 1):
        store.fold(batch, position)
    found = store.get("d")
    store.close()
    assert (None if found is None else (found[0].claim, found[0].state)) == standing


def test_the_table_goes_on_where_it_stood_and_starts_anew_for_another_topic(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    store = RequestStore(path, "requests")
    store.fold([step("a", CLAIMED, 1)], 7)
    second = RequestStore(path, "requests")
    assert (second.position, second.get("d")) == (0, None), "the second at a file keeps a table of its own"
    second.close()
    store.close()
    again = RequestStore(path, "requests")
    assert (again.position, again.get("d") is not None) == (7, True)
    again.close()
    other = RequestStore(path, "other.requests")
    assert (other.position, other.get("d")) == (0, None)
    other.close()


def test_a_disk_that_takes_no_more_is_a_failure_that_leaves_nothing_half_folded(tmp_path: Path) -> None:
    store = RequestStore(tmp_path / "requests.sqlite", "requests")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, hard))
    try:
        with pytest.raises(ServiceError, match="cannot be written"):
            store.fold([step("a", CLAIMED, 1)], 7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (store.position, store.get("d")) == (0, None)
    store.fold([step("a", CLAIMED, 1)], 7)
    assert (store.position, store.get("d") is not None) == (7, True)
    store.close()


@pytest.mark.broker
async def test_a_record_without_sense_is_passed_by_and_counted(running: Running) -> None:
    labels = {"topic": topic_name(running.settings.topic_prefix, Topic.REQUESTS)}
    await write(running.settings, Topic.REQUESTS, b"\xff", b"no record")
    assert (await post(running.http, "k1")).status_code == 202
    assert REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", labels) == 1


@pytest.mark.broker
async def test_an_ingest_whose_reading_of_the_log_broke_ends(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_store: RequestStore, _steps: Iterable[Step], _position: int) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(RequestStore, "fold", broken)
    ingest = running.ingest
    serving = asyncio.create_task(
        serve(ingest.app, listen("127.0.0.1", 0), asyncio.Event(), lambda: None, ingest.reading)
    )
    await post(running.http, "k1")
    with pytest.raises(ValueError, match="a defect"):
        await asyncio.wait_for(serving, WAIT_S)
