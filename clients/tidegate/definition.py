"""Segments written in Python: `segment("active_pro_users", where=[...])` builds the JSON form of the language.

Rule: this only shapes the request; the service parses, checks and canonicalises it, so there is one meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Where = Mapping[str, Any] | Sequence[Any] | str
"""The JSON form (an object, or a list meaning all of them) or the text form."""
Mode = Literal["realtime"]


@dataclass(frozen=True, slots=True)
class SegmentDefinition:
    """What to ask for: an id, an expression in either written form, and a name for people."""

    id: str
    where: Where
    name: str | None = None
    mode: Mode = "realtime"

    def body(self) -> dict[str, Any]:
        """Give the request body of `POST /segments`."""
        body: dict[str, Any] = {"id": self.id, "where": self.where, "mode": self.mode}
        if self.name is not None:
            body["name"] = self.name
        return body


def segment(segment_id: str, where: Where, *, name: str | None = None, mode: Mode = "realtime") -> SegmentDefinition:
    """Define a segment in code.

    `segment("active_pro_users", where=[{"plan": "pro"}, {"last_active": {"within": "7d"}}])`
    """
    return SegmentDefinition(id=segment_id, where=where, name=name, mode=mode)
