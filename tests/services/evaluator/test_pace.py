"""Behind many definitions a contact is much work, so that few are looked at at once: heartbeats share the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from segmentation.model import InstantMs
from services.evaluator.pace import Pace
from services.evaluator.partition import DEFINITION_WORK, Partition
from services.evaluator.worker import Committed, PartitionWorker
from tests.services.evaluator.inputs import NOW, definition, tick, write
from tests.services.evaluator.test_worker import RecordingLog
from tests.waiting import until

CONTACTS, DEFINITIONS = 40, 100
AT_ONCE = 2
"""Contacts, of which each is `DEFINITIONS` changes."""
PACE = Pace(
    commit_gap_ms=0,
    batch_work=AT_ONCE * DEFINITIONS,
    slice_evaluations=AT_ONCE * DEFINITIONS,
    slice_changes=AT_ONCE * DEFINITIONS,
    slice_ms=0,
    commit_changes=AT_ONCE * DEFINITIONS,
)
WAIT_S = 60.0


@pytest.mark.parametrize(
    ("unseen", "of_batch", "of_slice"), [(0, 500, 50), (4, 500, 50), (5, 400, 40), (100, 20, 2), (5_000, 1, 1)]
)
def test_the_more_definitions_are_unseen_the_fewer_contacts_are_looked_at_at_once(
    unseen: int, of_batch: int, of_slice: int
) -> None:
    assert (Pace().contacts_of_batch(unseen), Pace().contacts_of_slice(unseen)) == (of_batch, of_slice)


class Stepped:
    """A worker of which each step that nothing interrupts is measured, and each transaction. Units: changes."""

    def __init__(self, partition: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.batches: list[tuple[int, int]] = []
        """How many records each was given and how many it took."""
        self.transactions: list[int] = []
        self._partition = partition
        for name in ("consume", "backfill", "wake_due"):
            monkeypatch.setattr(partition, name, self._measured(getattr(partition, name)))
        monkeypatch.setattr(partition, "consume", self._counted(partition.consume))
        monotonic = asyncio.get_running_loop().time
        self.worker = PartitionWorker(
            partition,
            RecordingLog(),
            monotonic=monotonic,
            now_ms=lambda: InstantMs(NOW),
            pace=PACE,
            on_commit=self._committed,
        )

    def _measured(self, step: Callable[..., object]) -> Callable[..., object]:
        def measured(*given: object) -> object:
            before = self._partition.tally.changes
            done = step(*given)
            self.steps.append(self._partition.tally.changes - before)
            return done

        return measured

    def _counted(self, consume: Callable[..., int]) -> Callable[..., int]:
        def counted(records: Sequence[object], *given: object) -> int:
            taken = consume(records, *given)
            self.batches.append((len(records), taken))
            return taken

        return counted

    def _committed(self, done: Committed) -> None:
        self.transactions.append(len(done.changes))


@pytest.mark.parametrize("are_committed", [True, False])
async def test_contacts_pass_many_definitions_in_steps_and_transactions_of_few_changes(
    partition: Partition, monkeypatch: pytest.MonkeyPatch, are_committed: bool
) -> None:
    stepped = Stepped(partition, monkeypatch)
    running = asyncio.create_task(stepped.worker.run())
    writes = [write(number, f"c{number}", plan="pro") for number in range(CONTACTS)]
    definitions = [
        definition(CONTACTS + number, [{"plan": "pro"}], segment_id=f"s{number}") for number in range(DEFINITIONS)
    ]
    again = [write(CONTACTS + DEFINITIONS + number, f"c{number}", plan="free") for number in range(CONTACTS)]
    if are_committed:
        stepped.worker.feed(writes)
        await until(lambda: bool(stepped.transactions), WAIT_S, "the writes to be committed")
        writes = []
    stepped.worker.feed([*writes, *definitions])
    await until(lambda: partition.next_offset == CONTACTS + DEFINITIONS, WAIT_S, "the definitions to be read")
    stepped.worker.feed(again)
    changes = 2 * CONTACTS * DEFINITIONS
    await until(lambda: sum(stepped.transactions) == changes, WAIT_S, "everything to be committed")
    stepped.worker.stop()
    await running
    assert sum(stepped.steps) == changes
    assert partition.tally.processed == 2 * CONTACTS + DEFINITIONS
    assert stepped.worker.queued == stepped.worker.queued_bytes == 0
    # A write brings its contact in and out again, and a scan begins with what a batch has left uncommitted.
    assert max(stepped.steps) <= 2 * AT_ONCE * DEFINITIONS
    assert max(stepped.transactions) <= PACE.commit_changes + 2 * max(stepped.steps)


@pytest.mark.parametrize("are_committed", [True, False])
async def test_contacts_that_each_move_through_many_segments_at_one_deadline_do_so_in_steps_of_few_changes(
    partition: Partition, monkeypatch: pytest.MonkeyPatch, are_committed: bool
) -> None:
    stepped = Stepped(partition, monkeypatch)
    running = asyncio.create_task(stepped.worker.run())
    where = [{"ends_at": {"in_past": True}}]
    log = [definition(number, where, segment_id=f"s{number}") for number in range(DEFINITIONS)]
    log += [write(DEFINITIONS + number, f"c{number}", ends_at=NOW + number % 2) for number in range(CONTACTS)]
    ticks = [tick(len(log), NOW + 1)]
    if are_committed:
        # They are due when they are written as well: the first half has entered before the tick.
        stepped.worker.feed(log)
        await until(lambda: not partition.has_outputs and partition.next_offset == len(log), WAIT_S, "the writes")
        log = []
    stepped.worker.feed([*log, *ticks])
    changes = CONTACTS * DEFINITIONS
    await until(lambda: sum(stepped.transactions) == changes, WAIT_S, "every deadline to be committed")
    stepped.worker.stop()
    await running
    assert max(stepped.steps) <= AT_ONCE * DEFINITIONS
    assert partition.tally.deadlines_fired == CONTACTS // 2
    assert not partition.due.any_due(partition.clock)


async def test_contacts_pass_one_definition_to_which_many_refer_in_steps_of_few_changes(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = Stepped(partition, monkeypatch)
    running = asyncio.create_task(stepped.worker.run())
    log = [definition(0, [{"plan": "none"}], "base")]
    log += [definition(1 + number, [{"segment": "base"}], f"s{number}") for number in range(DEFINITIONS - 1)]
    log += [write(DEFINITIONS + number, f"c{number}", plan="pro") for number in range(CONTACTS)]
    stepped.worker.feed(log)
    await until(lambda: not partition.has_outputs and partition.next_offset == len(log), WAIT_S, "the writes")
    stepped.worker.feed([definition(len(log), [{"plan": "pro"}], "base", 2)])
    changes = CONTACTS * DEFINITIONS
    await until(lambda: sum(stepped.transactions) == changes, WAIT_S, "everybody to be committed")
    await until(lambda: not partition.behind_definitions, WAIT_S, "the scan to end")
    stepped.worker.stop()
    await running
    assert max(stepped.steps) <= AT_ONCE * DEFINITIONS
    assert partition.tally.backfilled == CONTACTS


@pytest.mark.parametrize("are_settled", [True, False])
def test_a_batch_ends_behind_the_record_with_which_it_has_done_so_much(partition: Partition, are_settled: bool) -> None:
    """Whether a record changes many memberships that all contacts know, or meets definitions from its own batch."""
    definitions = [definition(offset, [{"plan": "pro"}], segment_id=f"s{offset}") for offset in range(DEFINITIONS)]
    writes = [write(DEFINITIONS + number, f"c{number}", plan="pro") for number in range(CONTACTS)]
    log = [*definitions, *writes]
    if are_settled:
        assert partition.consume(definitions) == DEFINITIONS
        assert partition.backfill(1) == 0
        assert not partition.behind_definitions
    while partition.next_offset < len(log):
        rest, before = log[partition.next_offset :], partition.tally.changes
        taken = partition.consume(rest, AT_ONCE * DEFINITIONS)
        assert partition.next_offset == len(log) - len(rest) + taken
        assert partition.tally.changes - before <= AT_ONCE * DEFINITIONS
    assert (partition.tally.processed, partition.tally.changes) == (len(log), CONTACTS * DEFINITIONS)


def test_what_is_of_no_contact_waits_for_no_definition(partition: Partition) -> None:
    """So ticks and definitions are read as fast as ever behind thousands of definitions that contacts have not seen."""
    many = Pace().batch_work // DEFINITION_WORK
    definitions = [definition(offset, [{"plan": "pro"}], segment_id=f"s{offset}") for offset in range(3 * many)]
    for _ in range(3):
        assert partition.consume(definitions[partition.next_offset :], Pace().batch_work) == many
    ticks = [tick(3 * many + number, NOW + number) for number in range(500)]
    assert partition.unseen_definitions == 3 * many
    assert partition.consume(ticks, Pace().batch_work) == len(ticks)


async def test_a_batch_is_as_large_as_what_was_taken_of_the_one_before_and_grows_again(
    partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given is read at once, contacts from the disk too: little of that may be in vain."""
    stepped = Stepped(partition, monkeypatch)
    definitions = [definition(number, [{"plan": "pro"}], segment_id=f"s{number}") for number in range(DEFINITIONS)]
    ticks = [tick(DEFINITIONS + number, NOW) for number in range(1_000)]
    stepped.worker.feed([*definitions, *ticks])
    running = asyncio.create_task(stepped.worker.run())
    await until(lambda: partition.next_offset == DEFINITIONS + len(ticks), WAIT_S, "everything to be read")
    stepped.worker.stop()
    await running
    most = Pace().batch_records_max
    assert stepped.batches[0] == (most, AT_ONCE)
    assert stepped.batches[1:3] == [(AT_ONCE, AT_ONCE), (2 * AT_ONCE, AT_ONCE)]
    assert stepped.batches[-2][0] == most
