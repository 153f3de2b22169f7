"""`python -m tests.selftest`: plant each bug and see whether the judges catch it; then accuse nobody in clean runs.

The exit code is 0 only if every bug was caught and no clean run was accused.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.selftest.planted import all_planted
from tests.simulation.run import run_seed, say_nothing

SEEDS_MAX = 500
"""How many histories a bug may survive before it counts as missed."""
OPERATIONS = 300
CLEAN_RUNS = 50
EVIDENCE_CHARACTERS = 150


@dataclass(frozen=True)
class Catch:
    """How one planted bug fared. `seeds` is how many histories it took; None if it was never caught."""

    name: str
    seeds: int | None
    evidence: str


def hunt(index: int) -> Catch:
    """Plant one bug and run histories until one is judged wrong."""
    planted = all_planted()[index]
    with planted.in_place() as parts:
        for seed in range(SEEDS_MAX):
            violations = run_seed(seed, OPERATIONS, parts).violations
            if violations:
                return Catch(planted.name, seed + 1, violations[0])
    return Catch(planted.name, None, f"survived {SEEDS_MAX} histories")


def accuse(seed: int) -> list[str]:
    """What the judges say of a clean run."""
    return run_seed(seed, OPERATIONS).violations


def main() -> int:
    """Hunt, report, then run clean."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=say_nothing) as pool:
        catches = list(pool.map(hunt, range(len(all_planted()))))
        accusations = [violations for violations in pool.map(accuse, range(CLEAN_RUNS)) if violations]
    for catch in catches:
        state = f"caught in history {catch.seeds}" if catch.seeds is not None else "MISSED"
        sys.stdout.write(f"{catch.name}: {state}\n    {catch.evidence[:EVIDENCE_CHARACTERS]}\n")
    caught = sum(catch.seeds is not None for catch in catches)
    sys.stdout.write(f"{caught} of {len(catches)} caught, {len(accusations)} false alarms in {CLEAN_RUNS} clean runs\n")
    return 0 if caught == len(catches) and not accusations else 1


if __name__ == "__main__":
    sys.exit(main())
