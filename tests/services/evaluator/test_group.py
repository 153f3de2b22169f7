"""What keeps an evaluator out of its group ends it with the reason, and nothing else makes it leave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import GroupAuthorizationFailedError, InvalidSessionTimeoutError, RequestTimedOutError

from schemas.topics import Topic
from services.evaluator.transport import check_group, check_partitions
from services.runtime.errors import ServiceError, StartRefusedError
from tests.faults.process import EXIT_REFUSED, Evaluator
from tests.faults.workspace import Workspace
from tests.waiting import until

STANDING_BY_S = 4.0
"""Half an hour to a hasty client."""
TAKEN_OVER_WITHIN_S = 20.0
LOOKED_AT_WITHIN_S = 60.0


class Coordinator:
    """The part of the client that keeps the membership."""

    def __init__(self, found: Exception | None) -> None:
        self.found = found

    def check_errors(self) -> None:
        if self.found is not None:
            raise self.found


def test_a_time_out_that_the_broker_does_not_take_names_the_setting_and_the_bounds() -> None:
    with pytest.raises(StartRefusedError, match=r"of 3,000 ms: set TIDEGATE_SESSION_TIMEOUT_MS within"):
        check_group(Coordinator(InvalidSessionTimeoutError()), 3.0)


def test_what_repeating_does_not_mend_ends_the_process() -> None:
    with pytest.raises(ServiceError, match=r"refused this one: GroupAuthorizationFailedError"):
        check_group(Coordinator(GroupAuthorizationFailedError("evaluator")), 10.0)


@pytest.mark.parametrize("found", [RequestTimedOutError(), None], ids=["a request's time-out", "nothing"])
def test_everything_else_is_no_reason_to_end(found: Exception | None) -> None:
    check_group(Coordinator(found), 10.0)


@pytest.mark.broker
async def test_an_evaluator_whose_time_out_the_broker_refuses_ends_with_the_reason(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "one", session_timeout_ms="1000") as evaluator:
        evaluator.start()
        assert await evaluator.ended() == EXIT_REFUSED
        assert "the broker refuses a session time-out of 1,000 ms" in evaluator.log


@pytest.mark.parametrize("known", [None, {0, 1, 2}], ids=["not known", "as it was"])
def test_an_input_topic_that_is_as_it_was_is_no_reason_to_end(known: set[int] | None) -> None:
    check_partitions("contact-changes", known, 3)


@pytest.mark.broker
async def test_an_evaluator_whose_input_topic_is_given_more_partitions_ends_with_the_reason(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix)
    await workspace.create()
    topic = workspace.name(Topic.CONTACT_CHANGES)
    with Evaluator(workspace, tmp_path / "one") as evaluator:
        evaluator.start()
        await evaluator.ready()
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(workspace.partitions + 1)})
        await admin.close()
        assert await evaluator.ended(LOOKED_AT_WITHIN_S) == EXIT_REFUSED
        assert f"topic {topic} has {workspace.partitions + 1} partitions, expected" in evaluator.log


@pytest.mark.broker
async def test_who_has_stood_by_for_long_is_still_there_to_take_over(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    """The client would leave the group, for it is asked for nothing, and never join again."""
    workspace = Workspace(broker, topic_prefix, partitions=1)
    await workspace.create()
    evaluators = [Evaluator(workspace, tmp_path / name, "tests.faults.hasty_evaluator") for name in ("one", "two")]
    with evaluators[0] as one, evaluators[1] as two:
        for evaluator in (one, two):
            evaluator.start()
            await evaluator.ready()
        await asyncio.sleep(STANDING_BY_S)
        first, second = (one, two) if await works(one) else (two, one)
        assert await works(first)
        assert await first.stop() == 0
        await until(lambda: works(second), TAKEN_OVER_WITHIN_S, "the one that stood by to take over")


async def works(evaluator: Evaluator) -> bool:
    """Whether it works the one partition."""
    return "working partitions [0]" in (await evaluator.told("/ready") or "")
