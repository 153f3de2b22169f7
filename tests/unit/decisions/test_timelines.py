"""Timelines as data: inputs at instants, and every membership change that they must cause."""

from __future__ import annotations

import random
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.unit.decisions.timeline import Partition, shown

CASES = [
    pytest.param(timeline, id=timeline["name"].replace(" ", "-"))
    for path in sorted((Path(__file__).parents[2] / "cases/timelines").glob("*.toml"))
    for timeline in tomllib.loads(path.read_text())["timeline"]
]


@pytest.mark.parametrize("timeline", CASES)
def test_a_timeline_causes_exactly_its_changes_step_by_step(timeline: dict[str, Any]) -> None:
    partition = Partition(lazy=False)
    for number, step in enumerate(timeline["step"], 1):
        before = len(partition.changes)
        partition.step(step)
        assert shown(partition.changes[before:]) == step.get("expect", []), f"step {number}: {step}"
    erased = sorted(f"{erasure.segment_id}|{erasure.contact_id}" for erasure in partition.erasures)
    assert erased == sorted(timeline.get("erased", []))


@pytest.mark.parametrize("timeline", CASES)
def test_a_lazy_backfill_gives_each_contact_the_same_changes(timeline: dict[str, Any]) -> None:
    eager = Partition(lazy=False)
    for step in timeline["step"]:
        eager.step(step)
    for seed in range(5):
        randomness = random.Random(seed)
        lazy = Partition(lazy=True)
        for step in timeline["step"]:
            lazy.step(step)
            if randomness.random() < 0.2:
                lazy.settle()
        lazy.settle()
        assert by_contact(lazy) == by_contact(eager), f"seed {seed}"


def by_contact(partition: Partition) -> dict[str, list[str]]:
    sequences: dict[str, list[str]] = defaultdict(list)
    for change, line in zip(partition.changes, shown(partition.changes), strict=True):
        sequences[change.contact_id].append(f"{line} {change.version} v{change.segment_version}")
    return dict(sequences)
