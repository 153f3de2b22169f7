"""Why a contact is in a segment or not: the truth tree with what each test read, what would flip it, and until when.

Rule: what is shown is what was decided: the same readings and boundaries as matching, one captured `now`, no clock.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from segmentation.expression.canonical import canonicalize
from segmentation.expression.combined import Combined
from segmentation.expression.flips import Flip, flips_of
from segmentation.expression.render import condition_text
from segmentation.expression.syntax import AllOf, AnyOf, Condition, Expression, InSegment, Not
from segmentation.expression.truth import boundaries, condition_truth, reading_of, truth_of, value_read
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, Value

NO_DEFINITIONS: Mapping[SegmentId, Expression] = {}


@dataclass(frozen=True, slots=True)
class ConditionTruth:
    """One condition: the value it found, how it read it, and what would flip it if it stands in the way."""

    text: str
    holds: bool
    attribute: AttributeName
    value: Value | None
    state: str
    """`read`, `missing` or `unreadable`."""
    reading: str
    read: object
    until: InstantMs | None
    """When time alone flips this condition next."""
    flips: tuple[Flip, ...]

    def to_json(self) -> dict[str, object]:
        """As an object of JSON types."""
        return {
            "kind": "condition",
            "condition": self.text,
            "holds": self.holds,
            "attribute": self.attribute,
            "value": self.value,
            "state": self.state,
            "reading": self.reading,
            "read": self.read,
            "until_ms": self.until,
            "flips": [flip.to_json() for flip in self.flips],
        }


@dataclass(frozen=True, slots=True)
class ReferenceTruth:
    """A segment referred to."""

    segment_id: SegmentId
    holds: bool

    def to_json(self) -> dict[str, object]:
        """As an object of JSON types."""
        return {"kind": "segment", "segment_id": self.segment_id, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class GroupTruth:
    """`all`, `any` or `not` of other truths."""

    kind: str
    holds: bool
    children: tuple[ConditionTruth | ReferenceTruth | GroupTruth, ...]

    def to_json(self) -> dict[str, object]:
        """As an object of JSON types."""
        return {"kind": self.kind, "holds": self.holds, "children": [child.to_json() for child in self.children]}


TruthTree = ConditionTruth | ReferenceTruth | GroupTruth


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer for one contact at one instant."""

    holds: bool
    at: InstantMs
    until: InstantMs | None
    """When the whole truth flips next if nothing is written; None if it never does."""
    tree: TruthTree

    def to_json(self) -> dict[str, object]:
        """As an object of JSON types."""
        return {"holds": self.holds, "at_ms": self.at, "until_ms": self.until, "tree": self.tree.to_json()}


def explain(
    expression: Expression,
    attributes: Attributes,
    now: InstantMs,
    members: Container[SegmentId] = frozenset(),
    definitions: Mapping[SegmentId, Expression] = NO_DEFINITIONS,
) -> Explanation:
    """Explain an expression for a contact with these attributes at `now`.

    A reference is what its definition in `definitions` says, else whether it is in `members`; give no definition of a
    paused segment. Definitions must be free of cycles.

    Cost: the expression once, and at each boundary of its time tests what turns there.
    """
    view = _View(attributes, members, definitions)
    canonical = canonicalize(expression)
    holds = view.holds(canonical, now)
    tree = _tree(canonical, view, now, wanted=True, show_flips=not holds)
    return Explanation(holds, now, view.next_flip(canonical, now), tree)


def until(
    expression: Expression,
    attributes: Attributes,
    now: InstantMs,
    members: Container[SegmentId] = frozenset(),
    definitions: Mapping[SegmentId, Expression] = NO_DEFINITIONS,
) -> InstantMs | None:
    """The next instant at which the truth flips if nothing is written; None if it never does."""
    return _View(attributes, members, definitions).next_flip(expression, now)


class _View:
    """One contact, and what references see."""

    def __init__(
        self, attributes: Attributes, members: Container[SegmentId], definitions: Mapping[SegmentId, Expression]
    ) -> None:
        self.attributes = attributes
        self.members = members
        self.definitions = definitions
        self._referenced: dict[tuple[SegmentId, InstantMs], bool] = {}
        self._truths: dict[tuple[int, InstantMs], bool] = {}

    def holds(self, node: Expression, now: InstantMs) -> bool:
        match node:
            case AllOf(children):
                return all(self.holds(child, now) for child in children)
            case AnyOf(children):
                return any(self.holds(child, now) for child in children)
            case Not(child):
                return not self.holds(child, now)
            case Condition():
                return self.condition_holds(node, now)
            case InSegment(segment_id):
                return self.is_member(segment_id, now)

    def condition_holds(self, condition: Condition, now: InstantMs) -> bool:
        """The truth of one condition, found once: each group above it asks again."""
        key = (id(condition), now)
        if key not in self._truths:
            self._truths[key] = condition_truth(condition, self.attributes, now)
        return self._truths[key]

    def is_member(self, segment_id: SegmentId, now: InstantMs) -> bool:
        definition = self.definitions.get(segment_id)
        if definition is None:
            return segment_id in self.members
        key = (segment_id, now)
        if key not in self._referenced:
            self._referenced[key] = self.holds(definition, now)
        return self._referenced[key]

    def next_flip(self, expression: Expression, now: InstantMs) -> InstantMs | None:
        """Every flip is at a boundary of a time test, so the truth is looked at there and nowhere else.

        Cost: each time condition once a boundary of its own; of the rest, what that turns.
        """
        whole = Combined(
            expression, lambda condition: self.condition_holds(condition, now), self.members, self.definitions
        )
        holds = whole.holds
        turning: dict[int, list[Condition]] = {}
        for condition in whole.conditions:
            for instant in boundaries(condition.test, self.attributes.get(condition.attribute)):
                if instant > now:
                    turning.setdefault(instant, []).append(condition)
        for instant in sorted(turning):
            for condition in turning[instant]:
                whole.turn(condition, self.condition_holds(condition, InstantMs(instant)))
            if whole.holds is not holds:
                return InstantMs(instant)
        return None


def _tree(node: Expression, view: _View, now: InstantMs, wanted: bool, show_flips: bool) -> TruthTree:
    """`wanted`: the truth here that helps the whole to hold; below a `not` it is the other one."""
    match node:
        case AllOf(children) | AnyOf(children):
            kind = "all" if isinstance(node, AllOf) else "any"
            below = tuple(_tree(child, view, now, wanted, show_flips) for child in children)
            return GroupTruth(kind, view.holds(node, now), below)
        case Not(child):
            return GroupTruth("not", view.holds(node, now), (_tree(child, view, now, not wanted, show_flips),))
        case InSegment(segment_id):
            return ReferenceTruth(segment_id, view.holds(node, now))
        case Condition():
            return _condition(node, view, now, wanted, show_flips)


def _condition(condition: Condition, view: _View, now: InstantMs, wanted: bool, show_flips: bool) -> ConditionTruth:
    value = view.attributes.get(condition.attribute)
    holds = view.holds(condition, now)
    readable = value is not None and truth_of(condition.test, value, now) is not None
    in_the_way = show_flips and holds is not wanted
    until_instant = view.next_flip(condition, now)
    return ConditionTruth(
        condition_text(condition),
        holds,
        condition.attribute,
        value,
        "missing" if value is None else "read" if readable else "unreadable",
        reading_of(condition.test),
        value_read(condition.test, value) if value is not None and readable else None,
        until_instant,
        flips_of(condition, value, now, until_instant) if in_the_way else (),
    )
