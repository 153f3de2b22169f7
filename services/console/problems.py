"""What the console refuses on its own account. Rule: an answer that would be incomplete is a problem, never shorter."""

from __future__ import annotations

from services.runtime.problems import ProblemError, unavailable


def not_ready(detail: str) -> ProblemError:
    """The answer is not to be had now, and will be."""
    return unavailable("not_ready", "the answer would be incomplete", detail)
