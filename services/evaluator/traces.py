"""The spans of one partition's inputs: from the record that asked to be traced to the commit of what it caused.

Rule: looked at once a fetched batch, never per record of the hot path; nothing here touches what is evaluated or sent.
A span tells segments and positions, never the contact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Span, SpanKind

from segmentation.model import Change
from services.evaluator.measures import SPANS_DROPPED
from services.evaluator.ports import InputRecord
from services.evaluator.worker import Committed
from services.runtime import clock
from services.runtime.tracing import TRACEPARENT

if TYPE_CHECKING:
    from services.runtime.tracing import Tracing

OPEN_SPANS_MAX: Final = 1_000
"""Traced inputs of a partition that wait for their commit; more are evaluated all the same, only without a span."""
CHANGES_TOLD_MAX: Final = 50
NS_PER_MS: Final = 1_000_000


class TracedInputs:
    """Follows the traced inputs of one partition."""

    def __init__(self, tracing: Tracing, topic: str, memberships: str, partition: int) -> None:
        self._tracing = tracing
        self._topic = topic
        self._memberships = memberships
        self._partition = partition
        self._open: deque[tuple[int, Span]] = deque()

    def fed(self, records: Sequence[InputRecord]) -> None:
        """Begin a span for each record that carries a sampled trace."""
        for record in records:
            parent = next((value for name, value in record.headers if name == TRACEPARENT), None)
            if parent is not None:
                self._begin(record.offset, parent)

    def committed(self, done: Committed) -> None:
        """End the spans of what is committed now, each with the changes it caused."""
        if not self._open or self._open[0][0] >= done.next_offset:
            return
        caused: dict[int, list[Change]] = {}
        for change in done.changes:
            caused.setdefault(change.version.offset, []).append(change)
        began_ns = round((clock.now_ms() - done.took_s * 1_000) * NS_PER_MS)
        while self._open and self._open[0][0] < done.next_offset:
            offset, span = self._open.popleft()
            self._tell(span, caused.get(offset, []), began_ns)
            span.end()

    def stopped(self) -> None:
        """The partition is given up: its next owner evaluates what is open here."""
        for _, span in self._open:
            span.add_event("partition given up before the commit")
            span.end()
        self._open.clear()

    def _begin(self, offset: int, parent: bytes) -> None:
        if len(self._open) >= OPEN_SPANS_MAX:
            SPANS_DROPPED.inc()
            return
        span = self._tracing.begin(
            f"process {self._topic}",
            parent,
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.destination.name": self._topic,
                "messaging.destination.partition.id": str(self._partition),
                "messaging.kafka.offset": offset,
            },
        )
        if span is not None:
            self._open.append((offset, span))

    def _tell(self, span: Span, changes: Sequence[Change], began_ns: int) -> None:
        """The changes of one input, as events of a span as long as the commit took."""
        span.set_attribute("tidegate.changes", len(changes))
        if not changes:
            return
        attributes = {"messaging.system": "kafka", "messaging.destination.name": self._memberships}
        sent = self._tracing.begin(f"send {self._memberships}", span, SpanKind.PRODUCER, attributes, began_ns)
        if sent is None:
            return
        for change in changes[:CHANGES_TOLD_MAX]:
            sent.add_event(change.kind.value, {"tidegate.segment": change.segment_id, "tidegate.at": change.version.at})
        sent.end()
