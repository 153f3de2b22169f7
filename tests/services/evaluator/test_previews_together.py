"""Previews that share columns, or break off: none leaves another with a count that is not so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.expression.atoms import Substring
from segmentation.expression.compiler import CompiledSegment, truth_of
from segmentation.expression.normal import Literal
from segmentation.model import InstantMs, Value
from services.evaluator import columns, previews
from services.evaluator.previews import Preview
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, write
from tests.services.evaluator.test_previews import SAVED, Workspace, compiled, shrink_limits


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


@pytest.mark.parametrize("where", ['phone contains "12"', 'phone starts with "12"', 'phone ends with "2"'])
def test_a_search_that_breaks_off_anywhere_leaves_the_next_one_exact(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_STEP", 7)
    phones: list[Value] = [1_170 + place if place % 3 else ["12", place] for place in range(60)]
    literal = compiled(where).normal
    assert isinstance(literal, Literal)
    assert isinstance(literal.atom, Substring)
    holds = truth_of(literal)
    expected = bytes(holds({literal.atom.attribute: phone}, InstantMs(NOW), ()) for phone in phones)
    assert 0 < sum(expected) < len(phones)
    for steps in range(20):
        column = columns.Column()
        column.extend(phones)
        broken_off = column.mask(literal.atom, InstantMs(NOW), len(phones), [])
        for _ in range(steps):
            next(broken_off, None)
        found: list[bytes] = []
        deque(column.mask(literal.atom, InstantMs(NOW), len(phones), found), maxlen=0)
        assert found == [expected], f"broken off after {steps} steps"


@pytest.mark.parametrize("memory_bytes", [1, 6_000, 9_000, 1 << 30])
@pytest.mark.parametrize("columns_max", [1, 2, 200])
async def test_previews_of_different_attributes_at_once_are_each_exact(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch, columns_max: int, memory_bytes: int
) -> None:
    monkeypatch.setattr(columns, "COLUMNS_MAX", columns_max)
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 7)
    workspace = Workspace(store, 3, memory_bytes)
    workspace.churn(60)
    segments = [compiled(where) for where in ("plan is pro", "mrr is set", "seen is set", "plan is set AND mrr is set")]
    for order in (segments, segments[::-1]):
        found = await asyncio.gather(*(workspace.previews.preview(segment, SAVED) for segment in order))
        assert found == [workspace.expected(segment, workspace.partition.clock) for segment in order]


async def test_an_attribute_that_came_when_there_were_enough_columns_is_counted(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "COLUMNS_MAX", 1)
    workspace = Workspace(store, 3)
    workspace.commit([write(1, "c1", plan="pro")])
    await workspace.previews.preview(compiled("plan is pro"), None)
    workspace.commit([write(2, "c1", mrr=1), write(3, "c2", mrr=2)])
    segment = compiled("mrr is set")
    assert await workspace.previews.preview(segment, SAVED) == workspace.expected(segment, workspace.partition.clock)


async def test_columns_that_a_preview_counts_on_are_not_given_up_however_much_is_committed_meanwhile(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_limits(monkeypatch)
    monkeypatch.setattr(previews, "TOUCHED_MAX", 0)
    workspace = Workspace(store, 6)
    workspace.churn(80)
    clock = workspace.partition.clock
    for where in ("plan is pro OR mrr > 4", "in segment saved AND NOT plan is free"):
        asked = asyncio.create_task(workspace.previews.preview(compiled(where), SAVED))
        while not asked.done():
            if workspace.previews._turn.locked():
                workspace.commit([workspace._record(workspace.partition.next_offset)._replace(timestamp=clock)])
            await asyncio.sleep(0)
        assert await asked == workspace.expected(compiled(where), clock)


async def test_columns_that_are_given_up_while_they_are_read_are_read_no_further(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_limits(monkeypatch)
    workspace = Workspace(store, 4)
    workspace.churn(200)
    segment = compiled("plan is pro")
    impatient = await workspace.previews.preview(segment, None, 0.0)
    assert not impatient.is_complete
    loading = workspace.previews._loading
    assert loading is not None
    workspace.previews._give_up()
    await loading
    assert workspace.memory.held == 0
    assert await workspace.previews.preview(segment, SAVED) == workspace.expected(segment, workspace.partition.clock)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("memory_bytes", [9_000, 1 << 30])
async def test_a_preview_that_counts_while_another_asks_for_other_attributes_is_of_the_moment_it_ends(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch, seed: int, memory_bytes: int
) -> None:
    shrink_limits(monkeypatch)
    monkeypatch.setattr(columns, "COLUMNS_MAX", 1)
    workspace = Workspace(store, seed, memory_bytes)
    workspace.churn(80)
    clock = workspace.partition.clock
    to_ask = [compiled(where) for where in ("plan is pro OR plan ends with e", "mrr is set", "NOT seen in the past")]
    waiting: dict[asyncio.Task[Preview], CompiledSegment] = {}
    while to_ask or waiting:
        if to_ask and (not waiting or workspace.is_counting()):
            segment = to_ask.pop()
            waiting[asyncio.create_task(workspace.previews.preview(segment, SAVED))] = segment
        await asyncio.sleep(0)
        for asked in [asked for asked in waiting if asked.done()]:
            assert await asked == workspace.expected(waiting.pop(asked), clock)
        if workspace.previews._turn.locked():
            workspace.commit([workspace._record(workspace.partition.next_offset)._replace(timestamp=clock)])


async def test_a_preview_whose_columns_are_given_up_again_and_again_counts_without_them(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 7)
    workspace = Workspace(store, 5)
    workspace.churn(80)
    segment = compiled("plan is pro OR mrr is set")
    asked = asyncio.create_task(workspace.previews.preview(segment, SAVED))
    for _ in range(2_000):
        await asyncio.sleep(0)
        if workspace.is_watched() and not workspace.previews._turn.locked():
            workspace.previews._give_up()
    assert asked.done()
    assert await asked == workspace.expected(segment, workspace.partition.clock)
