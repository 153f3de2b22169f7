"""`attributes`: what a workspace declares about an attribute. A tombstone takes the declaration back.

Rule: a declaration never changes how a value is evaluated; it helps people to write expressions, and says which side
of now a bare `within` looks at.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.record import Record, WireAttributeName, WireInstant
from segmentation.attributes import AttributeType
from segmentation.expression.syntax import Direction


class AttributeDeclarationRecord(Record):
    """The declaration of one attribute."""

    name: WireAttributeName
    type: Annotated[AttributeType | None, Field(strict=False)] = None
    direction: Annotated[Direction | None, Field(strict=False)] = None
    declared_at: WireInstant | None = None
