"""What a partition has done since its owner started, and what it has decided and not yet handed to the broker.

Rule: plain counts and lists; who reads them decides what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.evaluator.ports import OutputRecord


@dataclass(slots=True)
class Tally:
    """What a partition has done since its owner started."""

    processed: int = 0
    dead_lettered: int = 0
    changes: int = 0
    deadlines_fired: int = 0
    backfilled: int = 0
    """In the backfill that is under way, or waits for held contacts alone."""


@dataclass(slots=True)
class Unsent:
    """Outputs decided and not yet handed to the broker."""

    memberships: list[OutputRecord] = field(default_factory=list)
    dead_letters: list[OutputRecord] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.memberships or self.dead_letters)
