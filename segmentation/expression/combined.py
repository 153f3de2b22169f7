"""The truth of an expression and of all it refers to, kept as single conditions turn: what `until` looks along.

Rule: a turn costs the groups whose truth it changes, and those above them; nothing else is combined again. Mutable, and
made for one question.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from segmentation.expression.syntax import AllOf, AnyOf, Condition, Expression, InSegment, Not
from segmentation.model import SegmentId


@dataclass(slots=True)
class _Part:
    """One node. It holds when at least `needed` of the parts in it do, or, if `turned`, when fewer do."""

    needed: int = 1
    turned: bool = False
    holding: int = 0
    above: list[_Part] = field(default_factory=list)
    """Where it stands, once for each time."""

    @property
    def holds(self) -> bool:
        return (self.holding >= self.needed) is not self.turned


class Combined:
    """The whole from the truths of its conditions. Definitions must be free of cycles."""

    def __init__(
        self,
        expression: Expression,
        holds: Callable[[Condition], bool],
        members: Container[SegmentId],
        definitions: Mapping[SegmentId, Expression],
    ) -> None:
        self._holds = holds
        self._members = members
        self._definitions = definitions
        self._parts: dict[int, _Part] = {}
        self._segments: dict[SegmentId, _Part] = {}
        self.conditions: list[Condition] = []
        """Those of the expression and of all that it refers to, each once."""
        self._whole = self._part(expression)

    @property
    def holds(self) -> bool:
        """The truth of the whole."""
        return self._whole.holds

    def turn(self, condition: Condition, holds: bool) -> None:
        """Let a condition hold from now on, or not."""
        part = self._parts[id(condition)]
        steps = [(part, int(holds) - part.holding)]
        while steps:
            turned, step = steps.pop()
            before = turned.holds
            turned.holding += step
            if turned.holds is not before:
                steps.extend((above, 1 if turned.holds else -1) for above in turned.above)

    def _part(self, node: Expression) -> _Part:
        if isinstance(node, InSegment):
            return self._segment(node.segment_id)
        part = self._parts.get(id(node))
        if part is None:
            part = self._parts[id(node)] = self._made(node)
        return part

    def _segment(self, segment_id: SegmentId) -> _Part:
        part = self._segments.get(segment_id)
        if part is None:
            definition = self._definitions.get(segment_id)
            part = _Part(holding=int(segment_id in self._members)) if definition is None else self._part(definition)
            self._segments[segment_id] = part
        return part

    def _made(self, node: Condition | Not | AllOf | AnyOf) -> _Part:
        if isinstance(node, Condition):
            self.conditions.append(node)
            return _Part(holding=int(self._holds(node)))
        children = (node.child,) if isinstance(node, Not) else node.children
        part = _Part(len(children) if isinstance(node, AllOf) else 1, isinstance(node, Not))
        for child in map(self._part, children):
            child.above.append(part)
            part.holding += child.holds
        return part
