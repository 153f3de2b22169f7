"""Hypothesis drives the lazy partition step by step; if it ever disagrees, it finds the shortest way there."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from segmentation.model import AttributeName, ContactId, SegmentId, SegmentState
from tests.oracle.reference import (
    DefinitionInput,
    DeleteInput,
    Input,
    LogEntry,
    Reference,
    TickInput,
    WriteInput,
)
from tests.simulation.core_loop import LazyPartition, differences
from tests.simulation.expressions import ATTRIBUTES, random_expression, random_value
from tests.simulation.workload import START_MS

CONTACTS = [ContactId(name) for name in ("ann", "bob", "cho")]
SEGMENTS = [SegmentId(name) for name in ("a", "b", "c")]
STEPS_MS = st.sampled_from([0, 0, 1, 500, 1_000, 2_000, 10_000, 86_400_000, -1_000])
SEEDS = st.integers(0, 2**16)


class LazyPartitionMachine(RuleBasedStateMachine):
    """Every rule is one record of the log, or one piece of work that may be done now or later."""

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        self.lazy = LazyPartition(Random(seed))
        self.entries: list[LogEntry] = []
        self.versions: dict[SegmentId, int] = {}
        self.now = START_MS

    @rule(step=STEPS_MS, contact_id=st.sampled_from(CONTACTS), names=st.sets(st.sampled_from(ATTRIBUTES)), seed=SEEDS)
    def write(self, step: int, contact_id: ContactId, names: set[AttributeName], seed: int) -> None:
        rng = Random(seed)
        self._append(step, WriteInput(contact_id, {name: random_value(rng, name, self.now) for name in sorted(names)}))

    @rule(step=STEPS_MS, contact_id=st.sampled_from(CONTACTS), name=st.sampled_from(ATTRIBUTES))
    def remove(self, step: int, contact_id: ContactId, name: AttributeName) -> None:
        self._append(step, WriteInput(contact_id, {name: None}))

    @rule(step=STEPS_MS, contact_id=st.sampled_from(CONTACTS))
    def erase(self, step: int, contact_id: ContactId) -> None:
        self._append(step, DeleteInput(contact_id))

    @rule(step=STEPS_MS)
    def tick(self, step: int) -> None:
        self._append(step, TickInput())

    @rule(step=STEPS_MS, place=st.integers(0, len(SEGMENTS) - 1), state=st.sampled_from(list(SegmentState)), seed=SEEDS)
    def define(self, step: int, place: int, state: SegmentState, seed: int) -> None:
        segment_id = SEGMENTS[place]
        expression = random_expression(Random(seed), self.now, SEGMENTS[:place])
        self.versions[segment_id] = self.versions.get(segment_id, 0) + 1
        self._append(step, DefinitionInput(segment_id, self.versions[segment_id], state, expression))

    @rule()
    def work(self) -> None:
        self.lazy.work()

    def teardown(self) -> None:
        """Compare only now: bringing contacts to the present after each step would end the laziness."""
        if not hasattr(self, "lazy"):
            return
        self.lazy.finish()
        lines = differences(Reference().read_all(self.entries).events, self.lazy.events)
        assert not lines, "\n".join(lines)

    def _append(self, step_ms: int, proposed: Input) -> None:
        self.now += step_ms
        entry = LogEntry(len(self.entries), self.now, proposed)
        self.entries.append(entry)
        self.lazy.read(entry)


TestLazyPartition: Any = LazyPartitionMachine.TestCase
TestLazyPartition.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
