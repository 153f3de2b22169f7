"""Columns are read ahead only while nothing else wants the processor, for all partitions or for none."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.evaluator import previews
from services.evaluator.column_memory import ColumnMemory
from services.evaluator.previews import Previews
from services.evaluator.store import RocksStore, StoreMemory
from services.evaluator.warming import BUSY_SHARE, READY_REST_S, REST_FACTOR, STEPS_S, WINDOW_S, Warming
from tests.services.evaluator.test_previews import WHERES, Workspace, compiled

BIG = 1 << 30
STEP_S = 0.0004


class Process:
    """Two partitions, and clocks driven by hand: each step in spare time takes `STEP_S` of both."""

    def __init__(self, folder: Path, memory_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.processor = 0.0
        self.steps = 0
        memory = StoreMemory(8 << 20)
        self.stores = [RocksStore(folder / str(index), memory) for index in range(2)]
        self.columns = ColumnMemory(memory_bytes)
        self.workspaces = [Workspace(store, index) for index, store in enumerate(self.stores)]
        for index, workspace in enumerate(self.workspaces):
            workspace.partition.index = index
            workspace.churn(200)
            workspace.previews = Previews(workspace.partition, workspace.store, self.columns, lambda: self.now)
        self.warming = Warming(
            lambda: [each.previews for each in self.workspaces], lambda: self.now, lambda: self.processor
        )
        monkeypatch.setattr(previews, "WARM_SLICE_CONTACTS", 5)
        load = Previews._load_some

        def timed(self_: Previews, *arguments: object) -> None:
            self.steps += 1
            self.now += STEP_S
            self.processor += STEP_S
            load(self_, *arguments)  # type: ignore[arg-type]  # passed on as they came

        monkeypatch.setattr(Previews, "_load_some", timed)

    def live(self, seconds: float, busy: float) -> None:
        """Let time pass, with other work taking a share of the processor."""
        until = self.now + seconds
        while self.now < until:
            rest = self.warming.step()
            self.now += rest
            self.processor += rest * busy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_nothing_is_read_ahead_while_the_process_is_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(folder, BIG, monkeypatch)
    process.live(60.0, busy=2 * BUSY_SHARE)
    assert process.steps == 0
    process.live(60.0, busy=BUSY_SHARE / 2)
    assert process.steps > 0
    assert all(each.previews._columns is not None and each.previews._columns.is_whole for each in process.workspaces)


def test_reading_ahead_takes_no_more_than_its_share_of_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(folder, BIG, monkeypatch)
    process.live(2 * WINDOW_S, busy=0.0)
    began, steps = process.now, process.steps
    while (rest := process.warming.step()) < READY_REST_S:
        process.now += rest
    worked = (process.steps - steps) * STEP_S
    assert worked <= (process.now - began) / (1 + REST_FACTOR) + STEPS_S + STEP_S


async def test_columns_that_do_not_fit_together_are_kept_for_no_partition(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(folder, BIG, monkeypatch)
    process.live(5.0, busy=0.0)
    whole = process.columns.held
    for each in process.workspaces:
        each.previews.close()
    process = Process(folder / "again", whole - 1, monkeypatch)
    process.live(5.0, busy=0.0)
    assert process.columns.held == 0
    steps = process.steps
    process.live(30.0, busy=0.0)
    assert process.steps == steps, "the same partitions are not tried again"
    segment = compiled(WHERES[0])
    found = await process.workspaces[0].previews.preview(segment, None)
    assert found.matched == process.workspaces[0].expected(segment, process.workspaces[0].partition.clock).matched
