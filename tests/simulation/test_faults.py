"""Thousands of whole histories full of crashes lead to exactly what the input logs say, and are done in minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS_VARIABLE = "TIDEGATE_SIMULATION_SEEDS"
SEEDS = 2_000


@pytest.mark.timeout(1_800)
def test_every_history_of_crashes_zombies_and_definitions_gives_what_the_reference_gives() -> None:
    seeds = os.environ.get(SEEDS_VARIABLE, str(SEEDS))
    command = [sys.executable, "-m", "tests.simulation", "--seeds", seeds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_is_one_history_however_often_it_is_run() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--operations", "200"]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    first, second = ([line for line in run.splitlines() if not line.endswith(" s")] for run in runs)
    assert first == second
    assert len(first) == 2
