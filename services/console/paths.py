"""Ids in paths as their senders meant them: requests are routed by the path as it was sent, still encoded.

Rule: every route takes an id in these forms, so that one that is encoded more than it need be is the same everywhere.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator


def _as_meant(encoded: str) -> str:
    """Errors: ValueError if it is not UTF-8."""
    return unquote(encoded, errors="strict")


ContactInPath = Annotated[str, AfterValidator(_as_meant)]
SegmentInPath = Annotated[str, AfterValidator(_as_meant)]
