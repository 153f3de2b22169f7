"""What the document says of a contact's attributes is what is taken."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from segmentation.flatten import flatten
from services.ingest.contact_docs import SCHEMAS

DOCUMENT = {"components": {"schemas": SCHEMAS}, "$ref": "#/components/schemas/ContactPatch"}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "flat": {"plan": "pro", "mrr": 49.5, "active": True, "left_at": None, "tags": ["a", 1, False]},
    "nested": {"address": {"city": "Oslo", "geo": {"lat": 59.9, "tags": ["n"], "note": None}}},
    "an empty object within another": {"address": {"geo": {}}},
    "an object in a list": {"tags": [{"a": 1}]},
    "null in a list": {"tags": [None]},
    "no name": {"": 1},
    "no name within an object": {"address": {"": 1}},
}


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_are_documented_exactly_if_they_are_taken(attributes: dict[str, Any]) -> None:
    is_documented = jsonschema.Draft202012Validator(DOCUMENT).is_valid({"attributes": attributes})
    assert is_documented is (not flatten(attributes).problems)
