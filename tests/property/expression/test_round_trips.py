"""What is written is read again as the same tree, and canonical trees mean what they came from."""

from __future__ import annotations

import json
from collections.abc import Callable

import orjson
from hypothesis import given
from hypothesis import strategies as st

from segmentation.attributes import AttributeCatalogue
from segmentation.expression.canonical import canonicalize
from segmentation.expression.compiler import compile_segment
from segmentation.expression.jsonform import parse_json, to_json
from segmentation.expression.lexer import Source, TokenKind, tokenize
from segmentation.expression.parser import parse_text
from segmentation.expression.reads import attributes_read, segments_read
from segmentation.expression.render import to_english, to_text
from segmentation.expression.syntax import Condition, Expression, Not
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value
from tests.oracle import language as oracle
from tests.property.expression import trees

NO_ATTRIBUTES = AttributeCatalogue.empty()


@given(trees.expressions)
def test_text_is_read_back_as_the_canonical_tree(expression: Expression) -> None:
    assert parse_text(to_text(expression), NO_ATTRIBUTES) == canonicalize(expression)


@given(trees.expressions)
def test_json_is_read_back_as_the_canonical_tree(expression: Expression) -> None:
    written = orjson.dumps(to_json(expression))
    assert parse_json(orjson.loads(written), NO_ATTRIBUTES) == canonicalize(expression)
    assert parse_json(json.loads(written), NO_ATTRIBUTES) == canonicalize(expression)


@given(trees.expressions)
def test_a_canonical_tree_is_its_own_canonical_tree(expression: Expression) -> None:
    canonical = canonicalize(expression)
    assert canonicalize(canonical) == canonical
    assert attributes_read(canonical) == attributes_read(expression)
    assert segments_read(canonical) == segments_read(expression)


@given(trees.expressions)
def test_equal_trees_are_written_alike_and_different_ones_are_not(expression: Expression) -> None:
    again = parse_text(to_text(expression), NO_ATTRIBUTES)
    assert isinstance(again, Expression)
    assert to_text(again) == to_text(expression)
    assert orjson.dumps(to_json(again)) == orjson.dumps(to_json(expression))
    assert to_english(again) == to_english(expression)


@given(trees.expressions, trees.contacts, trees.instants, trees.members)
def test_the_canonical_tree_means_the_same(
    expression: Expression, contact: dict[AttributeName, Value], now: InstantMs, members: frozenset[SegmentId]
) -> None:
    segments = dict.fromkeys(members, True)
    assert oracle.holds(canonicalize(expression), contact, now, segments) is oracle.holds(
        expression, contact, now, segments
    )


@given(trees.expressions, trees.contacts, trees.instants, trees.members)
def test_not_is_the_exact_complement(
    expression: Expression, contact: dict[AttributeName, Value], now: InstantMs, members: frozenset[SegmentId]
) -> None:
    complement = parse_text(f"NOT ({to_text(expression)})", NO_ATTRIBUTES)
    assert complement == canonicalize(Not(expression))
    assert isinstance(complement, Expression)
    compiled = [
        compile_segment(SegmentId("it"), 1, SegmentState.ACTIVE, one).holds(contact, now, members)
        for one in (canonicalize(expression), complement)
    ]
    assert compiled[0] is not compiled[1]


@given(
    trees.conditions,
    st.sampled_from(("", "  ", "\n", "\t ", "\u00a0")),
    st.sampled_from((str.lower, str.upper, str.title, str.swapcase)),
)
def test_spaces_and_case_of_keywords_change_nothing(
    condition: Condition, space: str, spelled: Callable[[str], str]
) -> None:
    text = to_text(condition)
    for token in tokenize(Source(text))[0][1:]:
        # Texts are in quotes and names with spaces in backticks, so every word behind the name is a keyword.
        end = token.offset + token.length
        if token.kind is TokenKind.WORD:
            text = text[: token.offset] + spelled(text[token.offset : end]) + text[end:]
    assert parse_text(f"{space}({space}{text}{space}){space}", NO_ATTRIBUTES) == canonicalize(condition)
