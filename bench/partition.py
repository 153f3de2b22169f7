"""`python -m bench.partition [segments …]`: the processor time of one evaluator's partitions, without a broker.

The workload of `bench.e2e` through the product's own decoding, decisions, sealing and a real store, in the batches and
transactions of a backlog. Prints microseconds a write and the share of each stage, and a digest of all that was
published, which must not depend on how fast it was made. Exits with 1 unless the memberships at the end are those of
the oracle. Rule: processor time is measured, not the wall clock, so that what else the machine does matters less.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import NamedTuple, ParamSpec, TypeVar, cast

import psutil
from aiokafka.structs import ConsumerRecord
from pydantic import JsonValue

from bench.e2e.workspace import BenchWorkspace, Sent
from schemas.codec import decode_contact, decode_input
from segmentation.attributes import AttributeCatalogue
from segmentation.expression.jsonform import parse_json
from segmentation.expression.syntax import Expression
from segmentation.model import SegmentId
from services.evaluator import garbage, rows
from services.evaluator.pace import Pace
from services.evaluator.partition import Partition
from services.evaluator.ports import InputRecord
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore, StoreMemory
from services.runtime import clock
from tests.oracle.language import holds

PARTITIONS = 8
CONTACTS = 20_000
UPDATES = 60_000
SEGMENTS = (10, 100, 1_000, 10_000)
CHECKED_EVALUATIONS = 100_000
"""Of each size, how many truths are evaluated by the oracle at the end."""
SLICE_CONTACTS, SLICE_CHANGES = Pace().slice_contacts, Pace().slice_changes

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Stopwatch:
    """Processor seconds by stage; a stage begun within another is its part."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def run(self, stage: str, do: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs) -> _Result:
        """Call and add what it took."""
        began = process_time()
        result = do(*given, **named)
        self.spent[stage] += process_time() - began
        return result


class TimedStore:
    """A store whose reads and writes are stages of their own."""

    def __init__(self, store: RocksStore, watch: Stopwatch) -> None:
        self._store = store
        self._watch = watch
        self.scan, self.checkpoint, self.close = store.scan, store.checkpoint, store.close
        self.compact = store.compact

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """As the store's."""
        return self._watch.run("read", self._store.get_many, keys)

    def write(self, written: Mapping[bytes, bytes | None]) -> None:
        """As the store's."""
        self._watch.run("store", self._store.write, written)
        self._watch.spent["rows"] += len(written)


class Driven(NamedTuple):
    """A partition and what drives it, without the worker's waiting."""

    partition: Partition
    store: TimedStore
    published: list[bytes]


def _drive(driven: Driven, batch: Sequence[InputRecord], watch: Stopwatch, commit: bool) -> None:
    """What a worker does with a batch, sending aside."""
    partition = driven.partition
    watch.run("consume", partition.consume, batch)
    while partition.due.any_due(partition.clock):
        watch.run("deadlines", partition.wake_due, SLICE_CONTACTS, SLICE_CHANGES)
    driven.published.extend(b"%s\t%s" % (each.key, each.value) for each in partition.take_unsent().memberships)
    if commit:
        watch.run("seal", partition.seal)
        watch.run("apply", partition.committed, {}, clock.now_ms())
        watch.spent["commits"] += 1


def _work_off(
    all_driven: Sequence[Driven], logs: Sequence[Sequence[InputRecord]], watch: Stopwatch, pace: Pace
) -> None:
    """Every partition's log in batches, in turn."""
    size, uncommitted = pace.batch_records_max, [0] * len(logs)
    for start in range(0, max(map(len, logs)), size):
        for driven, log in zip(all_driven, logs, strict=True):
            batch = log[start : start + size]
            if batch:
                index = driven.partition.index
                uncommitted[index] += len(batch)
                commit = uncommitted[index] >= pace.commit_records or start + size >= len(log)
                _drive(driven, batch, watch, commit)
                uncommitted[index] *= not commit


def _logs(records: Sequence[Sent], ends: Counter[int]) -> list[list[InputRecord]]:
    """Records as a consumer gives them, by partition."""
    logs: list[list[InputRecord]] = [[] for _ in range(PARTITIONS)]
    for each in records:
        record: ConsumerRecord[bytes, bytes] = ConsumerRecord(
            "contact-changes", each.partition, ends[each.partition], each.timestamp_ms, 0, each.key, each.value,
            None, 0, len(each.value), tuple(each.headers),
        )  # fmt: skip
        ends[each.partition] += 1
        logs[each.partition].append(cast("InputRecord", record))
    return logs


def _settle(driven: Driven) -> None:
    partition = driven.partition
    while partition.behind_definitions:
        partition.backfill(SLICE_CONTACTS)
    partition.take_unsent()
    partition.seal()
    partition.committed({}, clock.now_ms())
    while partition.unreadable.is_behind:
        partition.count_unreadable(SLICE_CONTACTS)


def measure(segments: int, updates: int, pace: Pace) -> bool:
    """Measure one size and print it; whether the outcome is right."""
    workspace = BenchWorkspace("nowhere:0", PARTITIONS, CONTACTS, segments)
    ends = Counter[int]()
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as directory:
        memory = StoreMemory()
        all_driven: list[Driven] = []
        for index in range(PARTITIONS):
            store = TimedStore(RocksStore(Path(directory) / str(index), memory), watch)
            all_driven.append(Driven(Partition(index, PARTITIONS, "contact-changes", store, restore(store)), store, []))
        before = _resident_bytes()
        _work_off(all_driven, _logs(list(workspace.definitions()), ends), Stopwatch(), pace)
        defined = _resident_bytes() - before
        _work_off(all_driven, _logs(list(workspace.creations()), ends), Stopwatch(), pace)
        for driven in all_driven:
            _settle(driven)
            driven.published.clear()
        logs = _logs(list(workspace.updates(updates)), ends)
        garbage.collect_rarely()
        garbage.settle()
        watch.spent.clear()
        _work_off(all_driven, logs, watch, pace)
        gc.unfreeze()
        _print(segments, updates, watch, all_driven)
        for log in logs:
            watch.run("decode", _decode, log)
        print(f"    of consume, decode alone: {watch.spent['decode'] / updates * 1e6:.1f} µs")
        wrong = _wrong_memberships(workspace, all_driven)
        _print_sizes(all_driven, Path(directory), defined / segments)
        for driven in all_driven:
            driven.store.close()
    if wrong:
        print(f"    {wrong} MEMBERSHIPS DIFFER FROM THE ORACLE'S")
    return not wrong


def _decode(log: Sequence[InputRecord]) -> None:
    for record in log:
        decode_input(record.key, record.value, record.headers)


def _print(segments: int, updates: int, watch: Stopwatch, all_driven: Sequence[Driven]) -> None:
    spent = watch.spent
    total = sum(spent[stage] for stage in ("consume", "deadlines", "seal", "apply"))
    stages = {
        "consume": spent["consume"], "deadlines": spent["deadlines"], "seal": spent["seal"],
        "apply": spent["apply"] - spent["store"] - spent["read"], "store": spent["store"], "read": spent["read"],
    }  # fmt: skip
    published = sorted(line for driven in all_driven for line in driven.published)
    digest = hashlib.sha256(b"\n".join(published)).hexdigest()[:16]
    shares = ", ".join(f"{stage} {seconds / updates * 1e6:.1f}" for stage, seconds in stages.items())
    print(f"partition: {segments:,} segments: {total / updates * 1e6:.1f} µs a write = {shares}")
    print(
        f"    {len(published) / updates:.3f} changes and {spent['rows'] / updates:.2f} rows a write, "
        f"{updates / spent['commits']:,.0f} writes a commit; digest of the changes {digest}"
    )


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _print_sizes(all_driven: Sequence[Driven], directory: Path, segment_bytes: float) -> None:
    """What a contact takes in the changelog and, compacted, on the disk; what a segment takes of memory."""
    contacts = changelog = 0
    for driven in all_driven:
        start = rows.CONTACTS_START
        while chunk := driven.store.scan(start, rows.CONTACTS_END, SLICE_CONTACTS):
            contacts += len(chunk)
            changelog += sum(len(key) + len(row) for key, row in chunk)
            start = rows.after(chunk[-1][0])
        driven.store.compact()
    disk = sum(path.stat().st_size for path in directory.rglob("*.sst"))
    print(
        f"    {changelog / contacts:,.0f} bytes a contact in the changelog, {disk / contacts:,.0f} on the disk; "
        f"{segment_bytes / 1024:,.1f} KiB of memory a segment in {len(all_driven)} partitions together"
    )


def _wrong_memberships(workspace: BenchWorkspace, all_driven: Sequence[Driven]) -> int:
    """How many memberships of some contacts, as of their partition's clock, are not what the oracle says."""
    expressions = {
        key: parse_json(cast("JsonValue", where), AttributeCatalogue.empty())
        for key, where in workspace.defined.items()
    }
    contacts = max(1, CHECKED_EVALUATIONS // len(expressions) // PARTITIONS)
    found: defaultdict[bool, int] = defaultdict(int)
    for driven in all_driven:
        for _, row in driven.store.scan(rows.CONTACTS_START, rows.CONTACTS_END, contacts):
            contact = decode_contact(row)
            for segment_id, expression in expressions.items():
                truth = holds(cast("Expression", expression), contact.attributes, driven.partition.clock, {})
                found[truth is (SegmentId(segment_id) in contact.members)] += 1
    return found[False]


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.partition", description="Measure partitions without a broker."
    )
    parser.add_argument("segments", nargs="*", type=int, help="how many segments; 10, 100, 1,000 and 10,000 by default")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--transaction", type=int, default=Pace().commit_records, help="writes in a transaction")
    parser.add_argument("--batch", type=int, default=Pace().batch_records_max, help="writes in a batch")
    options = parser.parse_args()
    pace = Pace(batch_records_max=options.batch, commit_records=options.transaction)
    right = [measure(segments, options.updates, pace) for segments in options.segments or SEGMENTS]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
