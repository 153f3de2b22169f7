"""Ids in paths as their senders meant them: requests are routed by the path as it was sent, still encoded.

Rule: every route takes an id in these forms, so that one that is encoded more than it need be is the same everywhere.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from services.runtime.problems import meant_in_path

ContactInPath = Annotated[str, AfterValidator(partial(meant_in_path, "contact_id"))]
SegmentInPath = Annotated[str, AfterValidator(partial(meant_in_path, "segment_id"))]
