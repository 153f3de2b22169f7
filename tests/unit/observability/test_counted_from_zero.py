"""What an alert waits for the increase of is exported before it is counted: one that begins at 1 never grew."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from schemas.topics import Topic, topic_name
from services.console import log
from services.console.settings import ConsoleSettings
from services.runtime.following import Following
from services.runtime.metrics import REGISTRY
from services.runtime.settings import RuntimeSettings
from services.webhooks.follower import Follower
from services.webhooks.settings import WebhookSettings
from tests.unit.webhooks.test_rounds import WEBHOOK

UNREADABLE = "tidegate_unreadable_log_records_total"


def test_what_a_broker_left_undecided_is_counted_from_zero_by_an_evaluator_that_has_met_none() -> None:
    """In a process of its own: here another test may have met one."""
    told = "import services.evaluator.measures, services.runtime.metrics as m; print(m.exposition()[0].decode())"
    printed = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    for outcome in ("committed", "aborted"):
        assert f'tidegate_evaluator_undecided_total{{outcome="{outcome}"}} 0.0' in printed.splitlines()


def unreadable(topic: str) -> float | None:
    return REGISTRY.get_sample_value(UNREADABLE, {"topic": topic})


def test_who_follows_topics_counts_what_is_unreadable_in_each_from_zero() -> None:
    places = {TopicPartition(name, 0): 0 for name in ("followed-one", "followed-two")}
    Following(RuntimeSettings(), places, lambda *_: None)
    assert [unreadable(place.topic) for place in places] == [0, 0]


async def test_a_webhook_counts_unreadable_changes_from_zero() -> None:
    nobody: Any = None
    Follower(WEBHOOK, WebhookSettings(topic_prefix="from-zero-"), nobody)
    assert unreadable(topic_name("from-zero-", Topic.MEMBERSHIPS)) == 0


class Unreachable:
    """A client of a broker that does not answer."""

    def __init__(self, **_options: object) -> None:
        """It has no connection."""

    async def start(self) -> None:
        raise KafkaConnectionError

    async def stop(self) -> None:
        """There is nothing to end."""


async def test_the_console_counts_what_is_unreadable_from_zero_also_while_no_broker_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "AIOKafkaConsumer", Unreachable)
    with pytest.raises(KafkaConnectionError):
        async with log.open_log(ConsoleSettings(), "read-by-the-console", 1):
            pass
    assert unreadable("read-by-the-console") == 0
