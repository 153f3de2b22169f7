"""A broker that is gone when a part of the evaluator connects is told in a sentence, and nothing is left half open."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.topics import topic_name
from services.evaluator.ports import LogError
from services.evaluator.serving import Serving
from services.evaluator.status import StatusReporter
from services.evaluator.surroundings import KafkaSurroundings, Workspace

NOWHERE = {"bootstrap_servers": "127.0.0.1:1"}


async def test_what_the_group_has_committed_cannot_be_asked(tmp_path: Path) -> None:
    surroundings = KafkaSurroundings(Workspace("group", 8, lambda topic: topic_name("", topic), NOWHERE, tmp_path))
    with pytest.raises(LogError, match="cannot ask what the group group has committed"):
        await surroundings.positions()


async def test_the_state_of_the_partitions_cannot_be_told() -> None:
    reporter = StatusReporter(Serving(), "http://here", "evaluator-status", NOWHERE, lambda _partition: None)
    with pytest.raises(LogError, match=r"cannot connect to tell the state .* \(topic evaluator-status\)"):
        await reporter.run()
