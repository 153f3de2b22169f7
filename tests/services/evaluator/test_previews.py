"""A preview says exactly what evaluating every contact says, whatever is committed before, between and during them."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import decode_contact
from schemas.topics import Topic
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.source import parse_where
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState
from services.evaluator import columns, previews, rows
from services.evaluator.column_memory import ColumnMemory
from services.evaluator.partition import Partition
from services.evaluator.previews import Preview, Previews, Warmed
from services.evaluator.restored import restore, scan_all
from services.evaluator.store import RocksStore, StoreMemory
from tests.services.evaluator.inputs import NOW, Record, definition, write

DAY_MS = 86_400_000
SAVED = SegmentId("saved")
VALUES: list[Any] = [
    "pro", "Pro", "free", "", "120", 5, 5.0, True, "TRUE", 1, False, [], ["a", 1], ["pro"], "2026-09-21", NOW - DAY_MS,
    NOW // 1000 + 3600, "v1.2", "1.10.0", 1e300, "lots", "Straße", "STRASSE", None,
]  # fmt: skip
WHERES: list[Any] = [
    "plan is Pro",
    "plan is exactly Pro OR mrr > 4",
    "NOT plan in [pro, free] AND mrr between 1 and 200",
    "plan is not Pro including missing AND mrr is not 5 excluding missing",
    "seen within last 2 days OR seen within next 1 hours",
    "NOT (seen more than 3 days ago) AND plan is set",
    "seen in the future OR seen before 2026-09-22",
    "plan contains ro AND NOT plan starts with exactly P",
    'mrr >= version "1.2" OR mrr is true OR never is set',
    "plan has any of [a, pro] OR mrr is missing",
    "in segment saved AND NOT plan is free",
    'plan contains "ss" OR plan ends with E OR plan starts with "1"',
    "never is not set AND not in segment saved",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "0", StoreMemory(8 << 20))
    yield store
    store.close()


class Workspace:
    """One partition with contacts that change at random."""

    def __init__(self, store: RocksStore, seed: int, memory_bytes: int = 1 << 30) -> None:
        self.random = random.Random(seed)
        self.store = store
        self.partition = Partition(0, 1, "contact-changes", store, restore(store))
        self.elapsed_s = 0.0
        self.memory = ColumnMemory(memory_bytes)
        self.previews = Previews(self.partition, store, self.memory, lambda: self.elapsed_s)
        self.commit([definition(0, [{"plan": "pro"}], SAVED)])

    def is_watched(self) -> bool:
        """Whether columns are kept."""
        return self.partition.on_contacts is not None

    def is_counting(self) -> bool:
        """Whether a preview is at work on columns that hold everybody."""
        return self.previews._turn.locked() and self.previews._loading is None

    def commit(self, records: list[Record]) -> None:
        self.partition.consume(records)
        while self.partition.behind_definitions:
            self.partition.backfill(50)
        self.partition.take_unsent()
        self.partition.seal()
        self.partition.committed(dict.fromkeys((Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG), 0), InstantMs(NOW))

    def churn(self, writes: int) -> None:
        offset = self.partition.next_offset
        self.commit([self._record(offset + place) for place in range(writes)])

    def _record(self, offset: int) -> Record:
        contact = f"c{self.random.randrange(60)}"
        at = NOW + offset * 1000
        if self.random.random() < 0.15:
            return Record(offset, at, contact.encode(), None)
        names = self.random.sample(["plan", "mrr", "seen"], self.random.randint(1, 3))
        return write(offset, contact, at, **{name: self.random.choice(VALUES) for name in names})

    def expected(self, segment: CompiledSegment, now: InstantMs) -> Preview:
        found = Preview()
        for key, row in scan_all(self.store, rows.CONTACTS_START, rows.CONTACTS_END):
            contact = decode_contact(row)
            holds, was = segment.holds(contact.attributes, now, contact.members), SAVED in contact.members
            found.total += 1
            found.counted += 1
            found.matched += holds
            found.would_enter += holds and not was
            found.would_leave += was and not holds
            if holds and len(found.sample) < previews.SAMPLE_MAX:
                found.sample.append(rows.contact_of(key))
        return found


def compiled(where: Any) -> CompiledSegment:
    parsed = parse_where(where, AttributeCatalogue.empty())
    assert not isinstance(parsed, Rejection), parsed
    return compile_segment(SegmentId("draft"), 0, SegmentState.ACTIVE, parsed)


def shrink_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small enough that every way is taken: steps, codes wider than a byte, forgotten tables, compaction."""
    for name, limit in {"VALUES_PER_STEP": 3, "ROWS_PER_STEP": 7, "TABLES_MAX": 1, "COMPACT_SLACK_VALUES": 2,
                        "INTERNED_VALUES_MAX": 5, "NARROW_CODES": 9, "PREPARED_VALUES_MIN": 4,
                        "SEGMENTS_MAX": 0}.items():  # fmt: skip
        monkeypatch.setattr(columns, name, limit)
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 7)


@pytest.mark.parametrize("seed", range(12))
async def test_a_preview_agrees_with_evaluating_every_contact_after_any_history(
    store: RocksStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 2:
        shrink_limits(monkeypatch)
        monkeypatch.setattr(columns, "NARROW_CODES", 256 if seed % 3 else 9)
    workspace = Workspace(store, seed)
    for _ in range(8):
        workspace.churn(workspace.random.randrange(1, 40))
        for where in workspace.random.sample(WHERES, 4):
            segment = compiled(where)
            found = await workspace.previews.preview(segment, SAVED)
            assert found == workspace.expected(segment, workspace.partition.clock), f"seed {seed}: {where}"
            assert found.is_complete


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_committed_while_a_preview_runs_is_in_its_answer(
    store: RocksStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_limits(monkeypatch)
    workspace = Workspace(store, seed)
    workspace.churn(80)
    for where in WHERES:
        segment = compiled(where)
        asked = asyncio.create_task(workspace.previews.preview(segment, SAVED))
        clock = workspace.partition.clock
        while not asked.done():
            if workspace.random.random() < 0.3:
                # The clock stands still, so that what is expected does not hang on when it was read.
                offset = workspace.partition.next_offset
                workspace.commit([workspace._record(offset)._replace(timestamp=clock)])
            await asyncio.sleep(0)
        assert await asked == workspace.expected(segment, clock), f"seed {seed}: {where}"


async def test_an_impatient_preview_says_of_how_many_contacts_it_speaks(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(store, 1)
    workspace.churn(300)
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 5)
    segment = compiled("plan is pro OR mrr is set")
    first = await workspace.previews.preview(segment, None, 0.0)
    assert not first.is_complete
    assert first.counted < first.total == workspace.partition.contacts
    counted = [first.counted]
    while not (found := await workspace.previews.preview(segment, None, 0.0)).is_complete:
        assert found.matched <= found.counted
        counted.append(found.counted)
    assert counted == sorted(counted)
    assert found.matched == workspace.expected(segment, workspace.partition.clock).matched


async def test_columns_that_do_not_fit_are_not_kept_and_the_answer_is_the_same(store: RocksStore) -> None:
    workspace = Workspace(store, 2, memory_bytes=1)
    workspace.churn(60)
    segment = compiled(WHERES[0])
    for _ in range(2):
        assert await workspace.previews.preview(segment, SAVED) == workspace.expected(
            segment, workspace.partition.clock
        )
        assert not workspace.is_watched()


async def test_an_impatient_preview_without_columns_says_of_how_many_contacts_it_speaks(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 7)
    workspace = Workspace(store, 2, memory_bytes=1)
    workspace.churn(120)
    segment = compiled("plan is set OR mrr is set OR seen is set")
    whole = await workspace.previews.preview(segment, None)  # finds that the columns do not fit
    seconds = iter(range(1_000))
    monkeypatch.setattr(workspace.previews, "_monotonic", lambda: float(next(seconds)))
    found = await workspace.previews.preview(segment, None, 0.0)
    assert not found.is_complete
    assert 0 < found.matched <= found.counted < found.total == whole.counted
    assert await workspace.previews.preview(segment, None) == whole


async def test_of_many_previews_without_columns_one_reads_between_two_turns_of_the_loop(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "SLICE_CONTACTS", 7)
    workspace = Workspace(store, 2, memory_bytes=1)
    workspace.churn(120)
    segment = compiled(WHERES[0])
    expected = await workspace.previews.preview(segment, None)
    turns: list[int] = []
    scan = store.scan

    def counted(start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        turns[-1] += 1
        return scan(start, end, limit)

    monkeypatch.setattr(store, "scan", counted)
    many = [asyncio.create_task(workspace.previews.preview(segment, None)) for _ in range(10)]
    while not all(each.done() for each in many):
        turns.append(0)
        await asyncio.sleep(0)
    assert [await each for each in many] == [expected] * 10
    assert max(turns) <= 2


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_a_preview_at_work_when_the_partition_is_given_up_ends_with_nothing_more_than_it_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int, is_warm: bool
) -> None:
    shrink_limits(monkeypatch)
    store = RocksStore(tmp_path / "given up", StoreMemory(8 << 20))
    workspace = Workspace(store, 3)
    workspace.churn(300)
    if is_warm:
        warm_up(workspace)
        workspace.churn(40)
    asked = asyncio.create_task(workspace.previews.preview(compiled("plan is pro AND in segment saved"), SAVED))
    for _ in range(turns):
        await asyncio.sleep(0)
    workspace.previews.close()
    store.close()
    assert (await asked).counted <= workspace.partition.contacts


async def test_an_attribute_that_was_left_out_is_read_when_it_is_asked_for(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "COLUMNS_MAX", 1)
    workspace = Workspace(store, 3)
    workspace.churn(60)
    for where in ("plan is pro", "mrr > 4", "seen is set AND plan is set", "plan is pro"):
        segment = compiled(where)
        found = await workspace.previews.preview(segment, None)
        assert found.matched == workspace.expected(segment, workspace.partition.clock).matched, where


async def test_columns_that_nobody_asks_for_are_given_up(store: RocksStore) -> None:
    workspace = Workspace(store, 4)
    workspace.churn(30)
    await workspace.previews.preview(compiled(WHERES[0]), None)
    workspace.churn(1)
    assert workspace.is_watched()
    workspace.elapsed_s = previews.IDLE_S + 1
    workspace.churn(1)
    assert not workspace.is_watched()
    segment = compiled(WHERES[0])
    assert (await workspace.previews.preview(segment, SAVED)) == workspace.expected(segment, workspace.partition.clock)


def warm_up(workspace: Workspace) -> None:
    """Step in spare time until there is nothing left to do."""
    while workspace.previews.warm() is Warmed.MORE:
        pass


@pytest.mark.parametrize("seed", range(6))
async def test_the_first_preview_is_whole_at_once_when_columns_were_read_in_spare_time(
    store: RocksStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_limits(monkeypatch)
    monkeypatch.setattr(previews, "WARM_SLICE_CONTACTS", 5)
    workspace = Workspace(store, seed)
    workspace.churn(150)
    for _ in range(40):
        workspace.previews.warm()
        if workspace.random.random() < 0.5:
            workspace.churn(2)
    warm_up(workspace)
    workspace.churn(20)
    for where in WHERES:
        segment = compiled(where)
        found = await workspace.previews.preview(segment, SAVED, 0.0)
        assert found == workspace.expected(segment, workspace.partition.clock), f"seed {seed}: {where}"
        assert found.is_complete


async def test_columns_that_are_half_read_in_spare_time_are_read_to_their_end_by_a_preview(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "WARM_SLICE_CONTACTS", 5)
    workspace = Workspace(store, 5)
    workspace.churn(150)
    for _ in range(4):
        assert workspace.previews.warm() is Warmed.MORE
    workspace.churn(30)
    segment = compiled("plan is pro AND in segment saved")
    assert await workspace.previews.preview(segment, SAVED) == workspace.expected(segment, workspace.partition.clock)


async def test_columns_kept_ready_outlive_the_person_who_asked(store: RocksStore) -> None:
    workspace = Workspace(store, 6)
    workspace.churn(30)
    warm_up(workspace)
    await workspace.previews.preview(compiled(WHERES[0]), None)
    workspace.elapsed_s = previews.IDLE_S + 1
    workspace.churn(1)
    assert workspace.is_watched()
    workspace.previews.cool()
    assert not workspace.is_watched()


async def test_columns_with_mostly_values_of_the_past_are_read_anew_in_spare_time(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "COMPACT_SLACK_VALUES", 2)
    workspace = Workspace(store, 7)
    sizes = []
    for round_number in range(30):
        workspace.commit(
            [write(workspace.partition.next_offset, "c1", NOW + round_number, seen=f"value {round_number}")]
        )
        warm_up(workspace)
        held = workspace.previews._columns
        assert held is not None
        sizes.append(len(held.columns[AttributeName("seen")].values))
    assert max(sizes) < 10


async def test_too_many_changes_at_once_give_the_columns_up_instead_of_remembering_them_all(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "TOUCHED_MAX", 10)
    workspace = Workspace(store, 8)
    workspace.churn(50)
    warm_up(workspace)
    workspace.churn(50)
    assert not workspace.is_watched()


async def test_columns_that_outgrow_their_memory_are_given_up_after_the_answer(store: RocksStore) -> None:
    workspace = Workspace(store, 9)
    workspace.churn(50)
    segment = compiled(WHERES[0])
    await workspace.previews.preview(segment, None)
    workspace.memory.limit = 1
    workspace.churn(5)
    assert await workspace.previews.preview(segment, SAVED) == workspace.expected(segment, workspace.partition.clock)
    assert not workspace.is_watched()


async def test_however_many_segments_previews_name_the_members_of_a_bounded_number_are_remembered(
    store: RocksStore,
) -> None:
    workspace = Workspace(store, 10)
    workspace.churn(60)
    warm_up(workspace)
    held = workspace.previews._columns
    assert held is not None
    before = held.size
    for number in range(3 * columns.SEGMENTS_MAX):
        await workspace.previews.preview(compiled("in segment saved"), SegmentId(f"s{number}"))
        assert SAVED in held.members
    assert workspace.previews._columns is held
    assert len(held.members) <= columns.SEGMENTS_MAX + 2
    assert held.size == before + held.rows * len(held.members)


def test_a_column_of_numbers_holds_about_what_it_says() -> None:
    column = columns.Column()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        column.extend([number / 8 for number in range(4_000)])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * (column.size + 4 * len(column.codes))
