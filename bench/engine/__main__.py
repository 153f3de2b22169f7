"""`python -m bench.engine [--quick]`: the engine beside naive closures and datalogic-py, with equal flips verified.

Prints, for each size, writes per second of each contender, the ratios and the goals; then what irrelevant segments
cost, the time to add a segment, and the memory of a catalogue. Exits with 1 if any contender found other flips.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from time import process_time
from typing import NamedTuple

from bench.engine.contenders import JsonLogic, Naive, Tidegate
from bench.engine.measure import Prepared, Rate, prepare, time_contender
from bench.engine.workload import Workload
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.syntax import (
    AllOf,
    Compare,
    Condition,
    Equals,
    Expression,
    NumberLiteral,
    Order,
    TextLiteral,
)
from segmentation.index.catalogue import Catalogue
from segmentation.model import AttributeName, SegmentId, SegmentState

CONTACTS = 400
DECOYS = 10_000
ADDED = 200
WRITES_REMEMBERED = 10_000


class Run(NamedTuple):
    """One row of the comparison, with the goals of its ratios."""

    size: int
    selective: bool
    untyped: bool
    naive_goal: float
    jsonlogic_goal: float | None


RUNS = (
    Run(10, True, False, 0.8, None),
    Run(100, True, False, 3, 4),
    Run(1_000, True, False, 8, 12),
    Run(1_000, False, False, 5, None),
    Run(1_000, True, True, 8, None),
    Run(10_000, True, False, 30, 100),
    Run(10_000, False, False, 0, None),
    Run(100_000, True, False, 100, None),
)


def main(arguments: Sequence[str]) -> int:
    """Run the comparison; 0 if every contender found the same flips."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="sizes up to 1,000 and short timings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", type=int, help="only the memory of a catalogue of this size, in this process")
    options = parser.parse_args(arguments)
    if options.memory:
        _memory(options.seed, options.memory)
        return 0
    seconds = 0.5 if options.quick else 3.0
    wrong = 0
    print(f"seed {options.seed}; writes/s on one core (processor time); ratios to naive closures and datalogic-py\n")
    heads = (("segments", 28), ("tidegate", 10), ("naive", 9), ("ratio", 7), ("goal", 5))
    print(" ".join(f"{name:>{width}}" for name, width in (*heads, ("jsonlogic", 10), *heads[3:])))
    for run in RUNS:
        if not options.quick or run.size <= 1_000:
            wrong += _compare(run, options.seed, seconds)
    wrong += _decoys(options.seed, seconds)
    _add_one(options.seed, 1_000 if options.quick else 10_000)
    for size in (1_000,) if options.quick else (10_000, 100_000):
        command = [sys.executable, "-m", "bench.engine", "--seed", str(options.seed), "--memory", str(size)]
        subprocess.run(command, check=True)
    print("\nno contender found other flips" if not wrong else f"\n{wrong} WRITES WITH OTHER FLIPS")
    return 1 if wrong else 0


def _compare(run: Run, seed: int, seconds: float) -> int:
    workload = Workload(seed, run.size, run.selective, run.untyped)
    segments = _segments(workload, run.size)
    catalogue = Catalogue.of(segments)
    prepared = _prepared(workload, catalogue, run.size)
    gc.freeze()  # as a service does once loaded: the collector need not walk the segments again and again
    warm = len(prepared) // 3
    ours = time_contender(Tidegate(catalogue), prepared, warm, seconds)
    naive = time_contender(Naive(segments), prepared, min(warm, 20), seconds)
    jsonlogic = None if run.untyped else time_contender(JsonLogic(segments), prepared, min(warm, 20), seconds)
    name = f"{run.size:,} {'selective' if run.selective else 'broad'}{' as text' if run.untyped else ''}"
    print(_row(name, run, ours, naive, jsonlogic))
    gc.unfreeze()
    return ours.wrong + naive.wrong + (0 if jsonlogic is None else jsonlogic.wrong)


def _row(name: str, run: Run, ours: Rate, naive: Rate, jsonlogic: Rate | None) -> str:
    left = f"{name:>28} {ours.writes_per_s:>10,.0f} {naive.writes_per_s:>9,.0f} "
    left += f"{ours.writes_per_s / naive.writes_per_s:>6,.1f}x {run.naive_goal:>5g}"
    if jsonlogic is None:
        return left
    goal = "" if run.jsonlogic_goal is None else f"{run.jsonlogic_goal:g}"
    return f"{left} {jsonlogic.writes_per_s:>10,.0f} {ours.writes_per_s / jsonlogic.writes_per_s:>6,.1f}x {goal:>5}"


def _decoys(seed: int, seconds: float) -> int:
    """What segments that no write concerns add to the cost of a write."""
    workload = Workload(seed, 100, selective=True)
    segments = _segments(workload, 100)
    alone = Catalogue.of(segments)
    crowded = Catalogue.of([*segments, *(_decoy(number) for number in range(DECOYS))])
    prepared = _prepared(workload, alone, 100)
    warm = len(prepared) // 3
    rates = [
        time_contender(Tidegate(catalogue), prepared, warm, seconds) for catalogue in (alone, crowded, alone, crowded)
    ]
    quick, slow = (max(rates[i].writes_per_s, rates[i + 2].writes_per_s) for i in (0, 1))
    print(
        f"\n{DECOYS:,} irrelevant segments beside 100: {100 * (quick / slow - 1):+.1f} % per write (goal at most +20 %)"
    )
    return sum(rate.wrong for rate in rates)


def _add_one(seed: int, size: int) -> None:
    """How long one more segment takes, compiled and in the catalogue, with the next write's extra cost aside."""
    workload = Workload(seed, size, selective=True)
    catalogue = Catalogue.of(_segments(workload, size))
    compiling: list[float] = []
    defining: list[float] = []
    for number in range(ADDED):
        expression = workload.segment()
        began = process_time()
        segment = compile_segment(SegmentId(f"added{number}"), 1, SegmentState.ACTIVE, expression)
        compiled = process_time()
        catalogue = catalogue.define(segment)
        defining.append(process_time() - compiled)
        compiling.append(compiled - began)
    defining.sort()
    compiling.sort()
    print(
        f"one more segment at {size:,}: {1e3 * defining[ADDED // 2]:.2f} ms (p99 {1e3 * defining[-2]:.2f}; goal 1 ms), "
        f"and {1e3 * compiling[ADDED // 2]:.2f} ms to compile it (p99 {1e3 * compiling[-2]:.2f})"
    )


def _memory(seed: int, size: int) -> None:
    """What a catalogue keeps resident: expressions, compiled segments, the index, and what writes make it remember."""
    workload = Workload(seed, size, selective=True)
    writes = workload.writes(workload.contacts(CONTACTS), WRITES_REMEMBERED)
    steps = [_resident_mib()]
    expressions = [workload.segment() for _ in range(size)]
    steps.append(_resident_mib())
    segments = _compiled(expressions)
    steps.append(_resident_mib())
    catalogue = Catalogue.of(segments)
    steps.append(_resident_mib())
    for write in writes:
        catalogue.flips(write.before, write.after, write.changed, write.now, ())
    steps.append(_resident_mib())
    trees, code, index, remembered = (after - before for before, after in pairwise(steps))
    print(
        f"memory at {size:,}: {trees:,.0f} MiB expressions, {code:,.0f} MiB compiled, {index:,.0f} MiB index, "
        f"{remembered:,.0f} MiB remembered after {len(writes):,} writes",
        flush=True,
    )


def _segments(workload: Workload, count: int) -> list[CompiledSegment]:
    return _compiled(workload.segment() for _ in range(count))


def _compiled(expressions: Iterable[Expression]) -> list[CompiledSegment]:
    return [
        compile_segment(SegmentId(f"s{number}"), 1, SegmentState.ACTIVE, expression)
        for number, expression in enumerate(expressions)
    ]


def _decoy(number: int) -> CompiledSegment:
    """A segment on attributes that the workload never writes."""
    group = Condition(AttributeName(f"other{number % 50}"), Equals(TextLiteral(f"value{number % 997}")))
    level = Condition(AttributeName(f"level{number % 20}"), Compare(Order.GTE, NumberLiteral(float(number % 89))))
    return compile_segment(SegmentId(f"decoy{number}"), 1, SegmentState.ACTIVE, AllOf((group, level)))


def _prepared(workload: Workload, catalogue: Catalogue, size: int) -> list[Prepared]:
    count = 30_000 if size <= 100 else 15_000 if size <= 1_000 else 6_000
    contacts = workload.contacts(CONTACTS)
    writes = workload.writes(contacts, count)
    return prepare(catalogue, contacts, writes)


def _resident_mib() -> float:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # a kernel file, not a path of ours
        return int(file.read().split()[1]) * 4_096 / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
