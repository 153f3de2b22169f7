"""Imports whose place several processes share: one works each; the others leave it, cancel it or take it over."""

from __future__ import annotations

import asyncio
import socket

import pytest

from segmentation.model import InstantMs
from services.ingest.imports import workshop as workshop_module
from services.ingest.imports.claims import CLAIM_MS, Claims
from services.ingest.imports.records import ImportState
from services.runtime import clock
from tests.services.ingest.conftest import Running
from tests.services.ingest.imports.test_import_path import WAIT_S, ended, written
from tests.services.ingest.imports.test_lifecycle import FILE, SMALL, commit, restarted, work_on
from tests.waiting import until

pytestmark = pytest.mark.broker


class Elsewhere:
    """Another process that shares the place where imports are kept."""

    def __init__(self, running: Running, now_ms: InstantMs | None = None) -> None:
        files = running.ingest.imports.files
        self.claims = Claims(files, "elsewhere:8080", lambda: now_ms or clock.now_ms())


async def left_running(running: Running, elsewhere: Elsewhere) -> str:
    """An import that another process claimed and began."""
    answer = await running.http.post("/api/v2/imports?id_column=id", content=SMALL)
    record = running.ingest.imports.files.record(answer.json()["id"])
    assert record is not None
    assert elsewhere.claims.take(record.id)
    record.state = ImportState.RUNNING
    running.ingest.imports.files.save_record(record)
    return record.id


async def test_an_import_of_another_process_is_left_to_it(running: Running) -> None:
    import_id = await left_running(running, Elsewhere(running))
    async with restarted(running) as next_one:
        await asyncio.sleep(0.5)
        assert (await next_one.http.get(f"/api/v2/imports/{import_id}")).json()["state"] == "running"
        assert await written(running) == {}


async def test_an_import_whose_process_has_gone_is_taken_over(running: Running) -> None:
    import_id = await left_running(running, Elsewhere(running, InstantMs(clock.now_ms() - CLAIM_MS - 1)))
    async with restarted(running) as next_one:
        assert (await ended(next_one, import_id))["accepted"] == 2


async def test_an_import_of_another_process_is_cancelled_by_it(
    running: Running, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop_module, "RENEWED_EVERY_S", 0.1)
    shown = await commit(running, FILE)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    async with restarted(running) as other:
        answer = await other.http.post(f"/api/v2/imports/{shown['id']}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "running")

        def has_heard() -> bool:
            work = running.ingest.imports.workshop.in_hand(shown["id"])
            return work is None or work.cancelled  # it may have ended by then

        await until(has_heard, WAIT_S, "the other process to hear of it")
        gate.set()
        assert (await ended(other, shown["id"]))["state"] == "cancelled"


async def test_a_process_that_was_away_too_long_stops_when_another_has_taken_over(
    running: Running, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop_module, "RENEWED_EVERY_S", 0.1)
    shown = await commit(running, FILE)
    late = Elsewhere(running, InstantMs(clock.now_ms() + CLAIM_MS + 1_000))
    assert late.claims.take(shown["id"])
    work = work_on(running, shown)
    assert work.task is not None
    await until(lambda: work.lost, WAIT_S, "the process to find its claim taken")
    gate.set()
    await work.task
    record = running.ingest.imports.files.record(shown["id"])
    assert record is not None
    assert record.state is ImportState.RUNNING
    assert late.claims.renew(shown["id"])


async def test_an_import_that_cannot_be_read_stands_in_nobodys_way(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, strange = [await ended(running, (await commit(running, SMALL, "&again=true"))["id"]) for _ in range(2)]
    kept = running.settings.data_dir / "imports" / strange["id"] / "import.json"
    kept.write_text(kept.read_text().replace('"completed"', '"of a later version"'))
    answer = await running.http.get(f"/api/v2/imports/{strange['id']}")
    assert (answer.status_code, answer.json()["code"]) == (503, "import_unreadable")
    listed = (await running.http.get("/api/v2/imports")).json()["imports"]
    assert [shown["id"] for shown in listed] == [good["id"]]
    assert (await ended(running, (await commit(running, SMALL))["id"]))["accepted"] == 2
    left = await left_running(running, Elsewhere(running, InstantMs(clock.now_ms() - CLAIM_MS - 1)))
    async with restarted(running) as next_one:
        assert (await ended(next_one, left))["accepted"] == 2
    assert kept.exists()
