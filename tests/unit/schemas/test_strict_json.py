"""Strict JSON refuses exactly what a slow and obvious reading of the same bytes refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.limits import EXPRESSION_DEPTH_MAX
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.strict_json import DUPLICATE_KEY, JsonRefusedError, load_strictly
from segmentation.attributes import AttributeCatalogue
from segmentation.expression.jsonform import parse_json, to_json
from segmentation.expression.limits import NESTING_MAX
from segmentation.expression.parser import parse_text
from segmentation.expression.render import to_text
from segmentation.expression.syntax import Expression
from segmentation.model import SegmentId

# Text in which colons, quotes and escapes of both come often.
TEXT = st.lists(st.sampled_from([":", '"', "\\", "a", "é", " ", "{", "}", ",", "\n"]), max_size=4).map("".join)
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | TEXT
# An object as pairs, so that a key may come twice.
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TEXT, inner), max_size=3).map(tuple),
    max_leaves=10,
)
ESCAPED_COLONS = st.booleans()


def written(document: Any, escape_colons: bool, space: str) -> str:
    if isinstance(document, tuple):
        members = (
            f"{written(name, escape_colons, space)}{space}:{space}{written(value, escape_colons, space)}"
            for name, value in document
        )
        return "{" + ",".join(members) + "}"
    if isinstance(document, list):
        return "[" + f"{space},".join(written(value, escape_colons, space) for value in document) + "]"
    text = json.dumps(document, ensure_ascii=escape_colons)
    return text.replace(":", "\\u003A") if escape_colons and isinstance(document, str) else text


def repeats_a_key(document: Any) -> bool:
    if isinstance(document, tuple):
        names = [name for name, _ in document]
        return len(set(names)) < len(names) or any(repeats_a_key(value) for _, value in document)
    return isinstance(document, list) and any(repeats_a_key(value) for value in document)


@given(DOCUMENTS, ESCAPED_COLONS, st.sampled_from(["", " ", "\n\t"]))
def test_a_repeated_key_is_found_wherever_it_is_and_nothing_else_is_taken_for_one(
    document: Any, escape_colons: bool, space: str
) -> None:
    raw = written(document, escape_colons, space).encode()
    if repeats_a_key(document):
        with pytest.raises(JsonRefusedError) as refusal:
            load_strictly(raw)
        assert refusal.value.code == DUPLICATE_KEY
    else:
        assert load_strictly(raw) == json.loads(raw)


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        read = load_strictly(raw)
    except JsonRefusedError:
        return
    assert read == json.loads(raw)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_refused_at_the_limit_and_far_beyond_it(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    load_strictly(opening * 15 + b"[]" + closing * 15)
    for depth in (17, 300, 1_100, 100_000):
        with pytest.raises(JsonRefusedError) as refusal:
            load_strictly(opening * (depth - 1) + b"[]" + closing * (depth - 1))
        assert refusal.value.code == "too_deep"


def test_the_deepest_expression_is_taken_and_kept_as_json() -> None:
    source = "NOT a between 1 and 2"
    for level in range(NESTING_MAX):
        source = f"NOT (b {'AND' if level % 2 else 'OR'} {source})"
    expression = parse_text(f"b OR {source}", AttributeCatalogue.empty())
    assert isinstance(expression, Expression)
    where: Any = to_json(expression)
    request = json.dumps({"segments": {"deepest": where}}).encode()
    assert load_strictly(request, EXPRESSION_DEPTH_MAX) == {"segments": {"deepest": where}}
    assert parse_json(where, AttributeCatalogue.empty()) == expression
    record = SegmentDefinitionRecord(
        segment_id=SegmentId("deepest"), version=1, replaces=0, name="Deepest", where=where, text=to_text(expression)
    )
    assert SegmentDefinitionRecord.decode(record.encode()) == record
