"""Evaluators join and leave while writes go on: nothing is lost, doubled or wrong, and pauses are short."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.growth import measure_growth
from tests.services.growth.figures import tell

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

HELD_S = 4.0
PAUSE_MAX_MS = 30_000
"""A group that hangs is silent for longer on any machine; the command tells how short pauses really are."""


async def test_one_to_three_to_one_evaluators_under_load_lose_and_delay_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    growth = await measure_growth(broker, topic_prefix, tmp_path, HELD_S)
    for step in growth.steps:
        tell(str(step))
    assert growth.failed == 0
    assert growth.judgement.violations == []
    assert growth.judgement.expected_changes > 1_000
    for step in growth.steps:
        assert step.changes > 50, f"{step.name}: the stream must have been flowing"
        assert step.pause_max < PAUSE_MAX_MS, str(step)
