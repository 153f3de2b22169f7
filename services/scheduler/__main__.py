"""`python -m services.scheduler`: run the scheduler, and reconnect for as long as the broker is away.

Rule: no broker is a reason to wait, never one to exit.
"""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from schemas.topics import Topic
from services.runtime.application import ServiceContext, run_service
from services.runtime.logs import get_logger
from services.runtime.topics import verify_topics
from services.scheduler.leader import connected
from services.scheduler.settings import SchedulerSettings

RECONNECT_WAIT_MAX_S = 5.0

log = get_logger("scheduler")


async def main(context: ServiceContext[SchedulerSettings]) -> None:
    """Work until stopped. Errors: StartRefusedError when the topics are not as they must be."""
    if not await context.came_about(verify_topics(context.settings, (Topic.SEGMENTS, Topic.CONTACT_CHANGES))):
        return

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        context.health.not_ready("the broker is away; reconnecting")
        log.warning("broker away", error=repr(error), attempt=state.attempt_number)

    async def wait(seconds: float) -> None:
        try:
            await asyncio.wait_for(context.stopping.wait(), seconds)
        except TimeoutError:
            return

    retrying = AsyncRetrying(
        retry=retry_if_exception_type((KafkaError, OSError)),
        wait=wait_random_exponential(multiplier=0.2, max=RECONNECT_WAIT_MAX_S),
        stop=lambda _: context.stopping.is_set(),
        before_sleep=say,
        sleep=wait,
        reraise=True,
    )
    try:
        async for attempt in retrying:
            with attempt:
                if not context.stopping.is_set():
                    async with connected(context) as connection:
                        await connection.serve()
    except (KafkaError, OSError):
        if not context.stopping.is_set():
            raise


if __name__ == "__main__":
    run_service("scheduler", SchedulerSettings, main)
