"""Which proposed definitions take effect, and their way into every partition.

Rule: each accepted version is appended to every partition of `contact-changes`, in log order, before the position on
`segments` moves past it; a repeat is harmless, a gap is not. One that a partition does not take for now waits for it,
and so do those behind it. Acceptance is the core's; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from aiokafka.errors import KafkaError, KafkaTimeoutError
from pydantic import ValidationError

from schemas.definitions import definition_of
from schemas.events import SEGMENT_DEFINED_HEADERS, identified
from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.errors import Rejection
from segmentation.registry import SegmentRegistry
from services.runtime.logs import get_logger
from services.scheduler import metrics

RETRY_AFTER_S = 1.0
"""How long a definition waits before it is offered anew to a partition that did not take it."""

log = get_logger("fanout")


class Appender(Protocol):
    """Appends one record to one partition of the input log and returns once it is acknowledged by all replicas."""

    def __call__(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> Awaitable[None]:
        """Append. Errors: raises what the broker's client raises."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One record of `segments`."""

    offset: int
    value: bytes | None


class FanOut:
    """Folds `segments` from its beginning, so that acceptance is known; forwards what lies at or past `forward_from`.

    One per leadership: a new leader reads the log anew. `acknowledged` tells how many appends of any kind the
    partitions have acknowledged, so that one without a leader is told from a broker that is away.
    """

    def __init__(self, append: Appender, partitions: int, forward_from: int, acknowledged: Callable[[], int]) -> None:
        self._append = append
        self._acknowledged = acknowledged
        self._partitions = partitions
        self._forward_from = forward_from
        self._registry = SegmentRegistry()

    async def take(self, proposal: Proposal) -> bool:
        """Take the next record in log order; whether it was new to the partitions, so that the position may move.

        Waits for as long as a partition does not take it while others take anything. Errors: raises what the appender
        raises for another reason; the record must then be taken again by a new fan-out.
        """
        accepted = self._accept(proposal)
        if proposal.offset < self._forward_from:
            return False
        if isinstance(accepted, str):
            metrics.DEFINITIONS_REFUSED.inc()
            log.warning("definition refused", offset=proposal.offset, reason=accepted)
            return True
        value = accepted.encode()
        headers = identified(SEGMENT_DEFINED_HEADERS, f"{accepted.segment_id}|{accepted.version}")
        try:
            async with asyncio.TaskGroup() as forwards:
                for partition in range(self._partitions):
                    forwards.create_task(self._reach(partition, value, headers))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        metrics.DEFINITIONS_APPENDED.inc()
        log.info("definition appended", segment=accepted.segment_id, version=accepted.version, state=accepted.state)
        return True

    async def _reach(self, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Append to one partition, however long it has no leader."""
        waits = False
        while True:
            acknowledged = self._acknowledged()
            try:
                await self._append(partition, value, headers)
            except KafkaError as error:
                may_come = error.retriable or isinstance(error, KafkaTimeoutError)
                if not may_come or self._acknowledged() == acknowledged:
                    raise
                if not waits:
                    log.warning("a definition waits for a partition", partition=partition, error=repr(error))
                waits = True
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                if waits:
                    log.info("the definition has reached the partition", partition=partition)
                return

    def _accept(self, proposal: Proposal) -> SegmentDefinitionRecord | str:
        """The definition, or why it changes nothing."""
        if proposal.value is None:
            return "it has no value"
        try:
            record = SegmentDefinitionRecord.decode(proposal.value)
        except ValidationError as error:
            return f"it is not a definition: {error.error_count()} problems"
        definition = definition_of(record)
        if isinstance(definition, Rejection):
            return f"its expression cannot be read: {definition.problems[0].message}"
        refusal = self._registry.accept(definition)
        return record if refusal is None else refusal.message
