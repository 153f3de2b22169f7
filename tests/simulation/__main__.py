"""`python -m tests.simulation`: many seeds on several processes, or one seed to look at.

A failing seed prints its violations and the one line that replays it. The exit code is 1 if a seed failed, or if a full
run left a fault point without enough kills.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.run import Outcome, run_seed, say_nothing
from tests.simulation.world import POINTS

HASH_SEED = "0"
"""The order of sets of text depends on it, and a seed must mean the same history every time."""
CHUNK_SEEDS = 10
COLLECT_AFTER_SEEDS = 5
"""Histories of which the garbage may lie about, some megabytes each."""
VIOLATIONS_SHOWN = 5
FAILURES_SHOWN = 10
FULL_RUN_SEEDS = 2_000
FULL_RUN_OPERATIONS = 500
KILLS_PER_POINT_MIN = 50
"""A point at which a full run killed fewer processes is not really tested."""


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=FULL_RUN_SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--operations", type=int, default=FULL_RUN_OPERATIONS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])  # noqa: S606 - ourselves
    first, seeds = (arguments.seed, 1) if arguments.seed is not None else (arguments.first, arguments.seeds)
    return _run(range(first, first + seeds), arguments.operations, arguments.jobs)


def _run(seeds: range, operations: int, jobs: int) -> int:
    started = time.perf_counter()
    total = Outcome(seeds.start, [])
    failed = 0
    for outcome in _outcomes(seeds, operations, jobs):
        total.changes += outcome.changes
        total.kills += outcome.kills
        total.events += outcome.events
        if outcome.violations:
            failed += 1
            if failed <= FAILURES_SHOWN:
                _report(outcome, operations)
    elapsed_s = time.perf_counter() - started
    _say(f"{len(seeds)} seeds of {operations} operations: {failed} failed, {total.changes} changes, {elapsed_s:.0f} s")
    _say("events: " + ", ".join(f"{name} {count}" for name, count in sorted(total.events.items())))
    _say("kills at: " + ", ".join(f"{name} {total.kills[name]}" for name in POINTS))
    if len(seeds) < FULL_RUN_SEEDS:
        return 1 if failed else 0
    untested = [name for name in POINTS if total.kills[name] < KILLS_PER_POINT_MIN]
    _say(f"{len(POINTS) - len(untested)} of {len(POINTS)} fault points with at least {KILLS_PER_POINT_MIN} kills")
    if untested:
        _say(f"fewer kills at: {', '.join(untested)}")
    return 1 if failed or untested else 0


def _outcomes(seeds: range, operations: int, jobs: int) -> Iterator[Outcome]:
    if len(seeds) == 1 or jobs == 1:
        yield from run_chunk(seeds, operations)
        return
    chunks = [seeds[start : start + CHUNK_SEEDS] for start in range(0, len(seeds), CHUNK_SEEDS)]
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(run_chunk, chunks, [operations] * len(chunks)):
            yield from outcomes


def run_chunk(seeds: range, operations: int) -> list[Outcome]:
    """Run some seeds in this process; one that raises has failed too."""
    say_nothing()
    # A history is garbage as a whole when it ends; looking for some while it goes on costs a fifth of the time.
    gc.disable()
    outcomes = []
    for seed in seeds:
        if (seed - seeds.start) % COLLECT_AFTER_SEEDS == 0:
            gc.collect()
            gc.freeze()
        try:
            outcomes.append(run_seed(seed, operations))
        except Exception as error:  # noqa: BLE001 - the seed must be named, whatever it raised
            outcomes.append(Outcome(seed, [f"the run itself raised {type(error).__name__}: {error}"]))
    return outcomes


def _report(outcome: Outcome, operations: int) -> None:
    _say(f"seed {outcome.seed} failed with {len(outcome.violations)} violations:")
    for violation in outcome.violations[:VIOLATIONS_SHOWN]:
        _say(f"  {violation}")
    _say(f"  replay: python -m tests.simulation --seed {outcome.seed} --operations {operations}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
