"""The states of an import: what may follow what, across repeats, cancellations and restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.topics import Topic
from segmentation.model import InstantMs
from services.ingest.imports import service as service_module
from services.ingest.imports.bulk_log import KafkaBulkLog
from services.ingest.imports.limits import ABANDONED_MS, KEPT_MS, RUNNING_MAX
from services.ingest.imports.records import ImportState
from services.ingest.imports.workshop import Work
from services.ingest.service import Ingest
from services.runtime import clock
from services.runtime.keys import KeyFile, Scope
from tests.services.ingest.conftest import Running, client_of, read_all
from tests.services.ingest.imports.test_import_path import WAIT_S, ended, written
from tests.waiting import until

pytestmark = pytest.mark.broker

FILE = b"id,plan\n" + b"".join(b"c%d,pro\n" % row for row in range(20_000))
SMALL = b"id,plan\nc1,pro\nc2,free\n"
CANCELLED_WITHIN_S = 20.0
COMMIT = "/api/v2/imports?commit=true&id_column=id"


@contextlib.asynccontextmanager
async def restarted(running: Running) -> AsyncIterator[Running]:
    """Another ingest over the same data directory."""
    token = KeyFile(running.settings.keys_path).create("again", frozenset(Scope)).token
    async with Ingest.running(running.settings) as ingest, client_of(ingest.app, token) as http:
        yield Running(ingest, http, running.settings, running.keys)


async def commit(running: Running, body: bytes, query: str = "") -> dict[str, Any]:
    answer = await running.http.post(COMMIT + query, content=body)
    assert answer.status_code == 202, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def work_on(running: Running, shown: dict[str, Any]) -> Work:
    """What this process holds of an import that it carries out."""
    work = running.ingest.imports.workshop.in_hand(shown["id"])
    assert work is not None
    return work


async def test_the_same_file_in_the_same_way_changes_nothing_within_a_day(running: Running) -> None:
    first = await ended(running, (await commit(running, SMALL))["id"])
    records = len(await read_all(running.settings, Topic.CONTACT_CHANGES))
    second = await commit(running, SMALL)
    assert (second["state"], second["repeat_of"], second["accepted"]) == ("completed", first["id"], 0)
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == records
    other = await ended(running, (await commit(running, SMALL, "&blank=remove"))["id"])
    assert other["repeat_of"] is None
    again = await ended(running, (await commit(running, SMALL, "&again=true"))["id"])
    assert (again["repeat_of"], again["accepted"]) == (None, 2)


async def test_what_is_said_about_blank_cells_counts_over_a_remembered_mapping(running: Running) -> None:
    unknown = await running.http.post("/api/v2/imports?blank=remove", content=SMALL)
    assert (unknown.status_code, unknown.json()["mapping"]) == (201, None)
    await ended(running, (await commit(running, SMALL))["id"])
    answer = await running.http.post("/api/v2/imports?commit=true&blank=remove", content=b"id,plan\nc1,\n")
    assert answer.status_code == 202, answer.text
    assert (await ended(running, answer.json()["id"]))["mapping"]["blank"] == "remove"
    assert (await written(running))["c1"]["attributes"] == {"plan": None}
    reviewed = (await running.http.post("/api/v2/imports?blank=keep", content=SMALL)).json()
    assert (reviewed["state"], reviewed["mapping"]["blank"]) == ("uploaded", "keep")
    again = (await running.http.post("/api/v2/imports", content=SMALL)).json()
    assert (again["mapping_source"], again["mapping"]["blank"]) == ("remembered", "remove")


async def test_a_file_sent_again_while_it_is_written_is_the_same_import(running: Running, gate: asyncio.Event) -> None:
    first = await commit(running, FILE)
    second = await commit(running, FILE)
    assert (second["id"], second["state"]) == (first["id"], "running")
    listed = (await running.http.get("/api/v2/imports")).json()["imports"]
    assert [(shown["state"], shown["repeat_of"]) for shown in listed] == [("cancelled", first["id"]), ("running", None)]
    gate.set()
    await ended(running, first["id"])
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == 20_000


async def test_a_file_whose_import_was_cancelled_can_be_imported_again(running: Running, gate: asyncio.Event) -> None:
    first = await commit(running, FILE)
    cancelling = asyncio.create_task(running.http.post(f"/api/v2/imports/{first['id']}/cancel"))
    await until(lambda: work_on(running, first).cancelled, WAIT_S, "the import to be told that it is cancelled")
    gate.set()
    await cancelling
    second = await ended(running, (await commit(running, FILE))["id"])
    assert (second["accepted"], second["repeat_of"]) == (20_000, None)


async def test_a_day_later_the_same_file_is_written_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await ended(running, (await commit(running, SMALL))["id"])
    monkeypatch.setattr(service_module, "REPEAT_RECOGNISED_MS", 0)
    assert (await ended(running, (await commit(running, SMALL))["id"]))["accepted"] == 2


async def test_a_cancelled_import_stops_and_keeps_what_is_written(running: Running, gate: asyncio.Event) -> None:
    shown = await commit(running, FILE)
    path = f"/api/v2/imports/{shown['id']}"
    cancelling = asyncio.create_task(running.http.post(f"{path}/cancel"))
    await until(lambda: work_on(running, shown).cancelled, WAIT_S, "the import to be told that it is cancelled")
    gate.set()
    cancelled = await cancelling
    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    kept = cancelled.json()["accepted"]
    assert 0 <= kept < 20_000
    assert len(await written(running)) == kept
    for step in ("commit", "dry-run"):
        answer = await running.http.post(f"{path}/{step}")
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert (await running.http.post(f"{path}/cancel")).status_code == 200
    assert not (running.settings.data_dir / "imports" / shown["id"] / "upload.csv").exists()


@pytest.mark.parametrize("step", ["commit", "dry-run"])
async def test_an_import_that_waits_for_its_turn_is_cancelled_at_once(
    running: Running, gate: asyncio.Event, step: str
) -> None:
    at_work = [await commit(running, FILE, f"&again=true&filename={number}") for number in range(RUNNING_MAX)]
    answer = await running.http.post("/api/v2/imports?id_column=id", content=SMALL)
    path = f"/api/v2/imports/{answer.json()['id']}"
    assert (await running.http.post(f"{path}/{step}")).json()["waiting"] == "for its turn"
    cancelled = await asyncio.wait_for(running.http.post(f"{path}/cancel"), WAIT_S)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    gate.set()
    for shown in at_work:
        assert (await ended(running, shown["id"]))["accepted"] == 20_000
    assert (await ended(running, (await commit(running, SMALL))["id"]))["accepted"] == 2


async def test_imports_that_wait_for_their_turn_do_not_hold_up_a_stop_and_go_on_in_the_next_process(
    running: Running, gate: asyncio.Event
) -> None:
    at_work = [await commit(running, FILE, f"&again=true&filename={number}") for number in range(RUNNING_MAX)]
    waiting = await commit(running, SMALL)
    task = work_on(running, waiting).task
    assert task is not None
    stopping = asyncio.create_task(running.ingest.imports.workshop.stop())
    await asyncio.wait_for(asyncio.wait({task}), WAIT_S)
    assert not stopping.done()
    gate.set()
    await stopping
    async with restarted(running) as next_one:
        for shown in (waiting, *at_work):
            assert (await ended(next_one, shown["id"]))["state"] == "completed"


async def test_an_import_that_looks_through_the_log_for_its_rows_is_cancelled_at_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = asyncio.Event()

    async def long_log(_log: KafkaBulkLog, _offsets: Any, _import_id: str) -> dict[int, int]:
        looking.set()
        await asyncio.sleep(10 * WAIT_S)
        raise AssertionError("nobody waits as long as that")

    with monkeypatch.context() as patched:
        patched.setattr(KafkaBulkLog, "rows_since", long_log)
        shown = await commit(running, SMALL)
        await asyncio.wait_for(looking.wait(), WAIT_S)
        cancelling = running.http.post(f"/api/v2/imports/{shown['id']}/cancel")
        cancelled = await asyncio.wait_for(cancelling, CANCELLED_WITHIN_S)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


async def test_an_import_at_work_takes_no_second_commit(running: Running, gate: asyncio.Event) -> None:
    shown = await commit(running, FILE)
    path = f"/api/v2/imports/{shown['id']}"
    answers = await asyncio.gather(
        running.http.post(f"{path}/commit"),
        running.http.post(f"{path}/dry-run"),
        running.http.put(f"{path}/mapping", json={"id_column": "id", "columns": {}}),
    )
    assert [answer.status_code for answer in answers] == [409, 409, 409]
    gate.set()
    assert (await ended(running, shown["id"]))["accepted"] == 20_000
    assert (await running.http.post(f"{path}/cancel")).status_code == 409


async def test_a_stopped_process_leaves_imports_that_the_next_one_completes(
    running: Running, gate: asyncio.Event
) -> None:
    shown = await commit(running, FILE)
    stopping = asyncio.create_task(running.ingest.imports.workshop.stop())
    await asyncio.sleep(0.1)
    gate.set()
    await stopping
    async with restarted(running) as next_one:
        done = await ended(next_one, shown["id"])
    assert (done["state"], done["accepted"]) == ("completed", 20_000)
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == 20_000


async def test_a_dry_run_that_was_cut_off_by_a_restart_is_made_again(running: Running) -> None:
    answer = await running.http.post("/api/v2/imports?id_column=id", content=SMALL)
    record = running.ingest.imports.files.record(answer.json()["id"])
    assert record is not None
    record.state = ImportState.CHECKING
    running.ingest.imports.files.save_record(record)
    async with restarted(running) as next_one:
        assert (await ended(next_one, record.id))["dry_run"]["would_write"] == 2


async def test_an_import_that_ends_while_it_is_looked_at_is_shown_without_its_rows(running: Running) -> None:
    shown = (await running.http.post("/api/v2/imports", content=SMALL)).json()
    assert len(shown["preview"]) == 2
    running.ingest.imports.files.remove_upload(shown["id"])
    answer = await running.http.get(f"/api/v2/imports/{shown['id']}")
    assert (answer.status_code, answer.json()["preview"]) == (200, [])


async def test_imports_are_listed_newest_first_page_by_page(running: Running) -> None:
    ids = []
    for number in range(5):
        body = b"id,n\nc,%d\n" % number
        ids.append((await running.http.post("/api/v2/imports?filename=f.csv", content=body)).json()["id"])
    first = (await running.http.get("/api/v2/imports?limit=3")).json()
    second = (await running.http.get(f"/api/v2/imports?limit=3&cursor={first['next']}")).json()
    assert [shown["id"] for shown in first["imports"] + second["imports"]] == ids[::-1]
    assert second["next"] is None
    assert first["imports"][0]["name"] == "f.csv"
    for limit in ("0", "x", "9" * 5_000, "00000001099999"):
        answer = await running.http.get(f"/api/v2/imports?limit={limit}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("comit=true", "unknown_parameter"),
        ("commit=yes", "invalid_parameter"),
        ("delimiter=x", "invalid_parameter"),
        ("encoding=ebcdic", "invalid_parameter"),
        ("blank=null", "invalid_parameter"),
        ("map=nothing", "invalid_parameter"),
        ("type=id=money", "invalid_parameter"),
        ("commit=true", "no_id_column"),
        ("commit=true&id_column=email", "unknown_column"),
        ("id_column=id&map=Plan=plan", "unknown_column"),
        ("id_column=id&map=plan=x&map=id=x", "attribute_mapped_twice"),
    ],
)
async def test_what_is_said_about_a_file_is_checked_before_anything_is_kept(
    running: Running, query: str, code: str
) -> None:
    answer = await running.http.post(f"/api/v2/imports?{query}", content=SMALL)
    assert answer.status_code == 422, answer.text
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert all(error["hint"] for error in answer.json()["errors"])
    kept = (await running.http.get("/api/v2/imports")).json()["imports"]
    assert all(shown["state"] == "cancelled" for shown in kept)


async def test_what_is_not_there_is_not_found(running: Running) -> None:
    steps = (("GET", ""), ("GET", "/errors.csv"), ("POST", "/commit"), ("POST", "/dry-run"), ("POST", "/cancel"))
    unreal = ("imp_%00", "imp_0000000000%00", "imp_0000000000%0A", "imp_" + "a" * 300, "imp_%F0%9F%8E%89")
    for path in ("imp_0000000000", "imp_..%2F..%2Fkeys", "mappings", "..", *unreal):
        for method, step in steps:
            answer = await running.http.request(method, f"/api/v2/imports/{path}{step}")
            assert answer.status_code == 404, (path, step, answer.text)


async def test_imports_need_their_scope(running: Running) -> None:
    async with running.client(Scope.CONTACTS_WRITE) as http:
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/imp_0000000000"), ("POST", "/imp_0000000000/commit")):
            assert (await http.request(method, f"/api/v2/imports{path}")).status_code == 403


async def test_what_nobody_needs_any_more_is_forgotten(running: Running) -> None:
    done = await ended(running, (await commit(running, SMALL))["id"])
    answer = await running.http.post("/api/v2/imports", content=SMALL)
    files = running.ingest.imports.files
    for import_id, age_ms in ((done["id"], KEPT_MS), (answer.json()["id"], ABANDONED_MS)):
        record = files.record(import_id)
        assert record is not None
        record.created_at = InstantMs(clock.now_ms() - age_ms - 1_000)
        record.finished_at = record.created_at if record.finished_at is not None else None
        files.save_record(record)
    kept = await ended(running, (await commit(running, b"id\n1\n"))["id"])
    async with restarted(running):
        assert files.ids() == [kept["id"]]
