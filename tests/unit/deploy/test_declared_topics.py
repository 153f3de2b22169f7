"""What an operator's commands set on topics for a while, a topic operator is first told to leave alone."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.workspace.clearing import COMPACTED
from schemas.topics import Topic

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"
LEFT_ALONE, MANAGED = "strimzi.io/managed=false", "strimzi.io/managed-"
ANNOTATES = re.compile(r"^kubectl -n tidegate annotate kafkatopic (.+) (\S+)$")


def test_a_move_is_begun_when_no_topic_is_managed_and_none_is_given_back() -> None:
    assert annotated("Repartitioning") == [("--all", LEFT_ALONE)]


def test_clearing_is_framed_by_leaving_its_topics_alone_and_giving_them_back() -> None:
    before, after = annotated("Deploying on Kubernetes")
    assert before == (after[0], LEFT_ALONE)
    assert after[1] == MANAGED
    assert set(before[0].split()) == {*COMPACTED, Topic.WEBHOOKS}


def annotated(section: str) -> list[tuple[str, str]]:
    """Which topics a section of the page annotates, with what, in its order."""
    _, _, text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")
    lines = text.partition("\n## ")[0].splitlines()
    return [(found[1], found[2]) for line in lines if (found := ANNOTATES.match(line))]
