"""An expression as people hand it over: text in quotes, or JSON. The one door for both forms."""

from __future__ import annotations

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.jsonform import parse_json
from segmentation.expression.parser import parse_text
from segmentation.expression.syntax import Expression


def parse_where(where: object, attributes: AttributeCatalogue) -> Expression | Rejection:
    """The canonical tree of `where`: a text is the text form, a list or an object the JSON form."""
    return parse_text(where, attributes) if isinstance(where, str) else parse_json(where, attributes)
