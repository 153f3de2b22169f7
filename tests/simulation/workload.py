"""A random history of one workspace: writes, deletes, definitions, ticks and poison, by seed.

Rule: it only proposes what happens next; when it happens and where it lands in a log is the caller's. A proposed
definition always has the next version of its segment, and every partition gets the same definitions.
"""

from __future__ import annotations

from random import Random

from segmentation.expression.syntax import Expression
from segmentation.model import AttributeName, ContactId, SegmentId, SegmentState, Value
from tests.oracle.reference import DefinitionInput, DeleteInput, Input, PoisonInput, TickInput, WriteInput
from tests.simulation.expressions import ATTRIBUTES, SECOND_MS, random_expression, random_value

START_MS = 1_790_000_000_000
CLOCK_STEPS_MS = (0, 0, 0, 1, 250, 500, 1_000, 1_000, 2_000, 2_000, 5_000, -1_500, -3_000)
"""How far the broker's clock moves before a record; it may step back, and often does not move at all."""
MIXES = ((62, 26, 9, 3), (62, 26, 9, 3), (85, 10, 4, 1), (40, 20, 38, 2), (15, 80, 4, 1), (30, 8, 2, 60))
"""How often contacts, ticks, definitions and poison come: busy days, and days with far too much of one kind."""
ODD_IDS = ("c{}.", "c{}.", "c{}.", "c{}|s0|.", "\u00fc{}.", "c{}\0.", 'c{}".', "\U0001f600{}.")
RARE_CLOCK_STEPS_MS = (60_000, 3_600_000, 86_400_000, -3_600_000, -86_400_000)


class Workload:
    """Proposes one input after another."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.contacts = [_contact_id(number) for number in range(rng.choice((2, 5, 8, 8, 20)))]
        self.segments = [SegmentId(f"s{number}") for number in range(rng.choice((1, 3, 6, 6, 10)))]
        rng.shuffle(self.segments)
        self._mix = rng.choice(MIXES)
        self._erasures = rng.choice((0.0, 0.06, 0.06, 0.3))
        self._versions: dict[SegmentId, int] = {}
        self._states: dict[SegmentId, SegmentState] = {}
        self._expressions: dict[SegmentId, Expression] = {}
        self._sent: list[DefinitionInput] = []

    def clock_step_ms(self, now: int) -> int:
        """How far time moves before the next record: often to a whole second, where deadlines are."""
        if self._rng.random() < 0.4:
            return -now % SECOND_MS
        return self._rng.choice(RARE_CLOCK_STEPS_MS if self._rng.random() < 0.01 else CLOCK_STEPS_MS)

    def contact_input(self, now: int) -> WriteInput | DeleteInput:
        """A write, or now and then an erasure."""
        contact_id = self._rng.choice(self.contacts)
        if self._rng.random() < self._erasures:
            return DeleteInput(contact_id)
        changes: dict[AttributeName, Value | None] = {}
        for name in self._rng.sample(ATTRIBUTES, self._rng.choice((0, 1, 1, 1, 2, 2, 3))):
            changes[name] = None if self._rng.random() < 0.12 else random_value(self._rng, name, now)
        return WriteInput(contact_id, changes)

    def definition(self, now: int) -> DefinitionInput:
        """A segment created, edited, paused, resumed or deleted; sometimes one that was sent before."""
        rng = self._rng
        if self._sent and rng.random() < 0.1:
            return rng.choice(self._sent)
        place = rng.randrange(len(self.segments))
        segment_id = self.segments[place]
        state = rng.choice(_NEXT_STATES[self._states.get(segment_id, SegmentState.DELETED)])
        known = self._expressions.get(segment_id)
        if known is None or (state is not SegmentState.DELETED and rng.random() < 0.5):
            known = random_expression(rng, now, self.segments[:place])
        self._versions[segment_id] = version = self._versions.get(segment_id, 0) + 1
        self._states[segment_id] = state
        self._expressions[segment_id] = known
        proposed = DefinitionInput(segment_id, version, state, known)
        self._sent.append(proposed)
        return proposed

    def any_input(self, now: int) -> Input:
        """One input of any kind, in this history's own mix."""
        (kind,) = self._rng.choices(("contact", "tick", "definition", "poison"), self._mix)
        if kind == "contact":
            return self.contact_input(now)
        if kind == "definition":
            return self.definition(now)
        return TickInput() if kind == "tick" else PoisonInput()


def _contact_id(number: int) -> ContactId:
    """Any text may be an id. None is part of another, so that what is left of an erased one can be searched for."""
    return ContactId(ODD_IDS[number % len(ODD_IDS)].format(number))


_ACTIVE, _PAUSED, _DELETED = SegmentState.ACTIVE, SegmentState.PAUSED, SegmentState.DELETED
_NEXT_STATES: dict[SegmentState, tuple[SegmentState, ...]] = {
    _ACTIVE: (_ACTIVE, _ACTIVE, _PAUSED, _PAUSED, _DELETED),
    _PAUSED: (_ACTIVE, _ACTIVE, _PAUSED, _DELETED),
    _DELETED: (_ACTIVE, _ACTIVE, _ACTIVE, _PAUSED),
}
