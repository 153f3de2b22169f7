"""From a definition's record to the core's definition: the expression is read from its canonical JSON form.

Rule: every reader of definitions reads them here, so all compile the same expression. A record whose expression this
build cannot read is a rejection, never skipped in silence.
"""

from __future__ import annotations

from schemas.segment_definition import SegmentDefinitionRecord
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.jsonform import parse_json
from segmentation.registry import Definition

# The canonical form always says `last` or `next`, so no declaration can change what it means.
_NO_DECLARATIONS = AttributeCatalogue.empty()


def definition_of(record: SegmentDefinitionRecord) -> Definition | Rejection:
    """The definition that a record carries, or why its expression cannot be read."""
    expression = parse_json(record.where, _NO_DECLARATIONS)
    if isinstance(expression, Rejection):
        return expression
    return Definition(record.segment_id, record.version, record.replaces, record.state, expression)
