"""The pure core gives the reference's changes for whole histories, however lazily it is driven."""

from __future__ import annotations

import pytest

from tests.simulation.core_loop import run_core_seed

SEEDS = 300
OPERATIONS = 200


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_decisions_over_a_random_history_equal_the_reference(first: int) -> None:
    for seed in range(first, first + 50):
        lines = run_core_seed(seed, OPERATIONS)
        replay = (
            f'replay: python -c "from tests.simulation.core_loop import *; print(run_core_seed({seed}, {OPERATIONS}))"'
        )
        assert not lines, "\n".join([f"seed {seed}", *lines, replay])
