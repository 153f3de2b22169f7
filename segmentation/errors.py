"""What the core says when it refuses: a rejection is a value, holds every problem found, and says how to repair each.

Rule: a problem names where it is (a span in text or a JSON Pointer), what is wrong, and what to write instead. The core
returns rejections and never raises them; anything it raises is a defect of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from segmentation.expression.syntax import Span

PROBLEMS_MAX = 50
"""How many problems a rejection lists: past that, repairing the first ones comes first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. Exactly one of `span` and `pointer` is given, or neither when it concerns the whole."""

    code: str
    """Stable, for programs: `expects_number`."""
    message: str
    """Lower case, for people: what is there and why it cannot stay."""
    hint: str
    """What to write instead: the expected words, the nearest name, or the corrected text."""
    span: Span | None = None
    pointer: str | None = None

    def to_json(self) -> dict[str, object]:
        """The wire shape: code, message, hint, and `span` or `pointer`."""
        shown: dict[str, object] = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.span is not None:
            span = self.span
            shown["span"] = {"offset": span.offset, "line": span.line, "column": span.column, "length": span.length}
        if self.pointer is not None:
            shown["pointer"] = self.pointer
        return shown


@dataclass(frozen=True, slots=True)
class Rejection:
    """The input is refused. Shape: at least one problem, in the order of the input."""

    problems: tuple[Problem, ...]

    def to_json(self) -> list[dict[str, object]]:
        """The wire shape of every problem."""
        return [problem.to_json() for problem in self.problems]
