"""Whatever is written, the parsers answer, with places that exist, in a number of steps that grows with the size."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segmentation import attributes
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import PROBLEMS_MAX, Rejection
from segmentation.expression import conditions, jsontests
from segmentation.expression.jsonform import parse_json, to_json
from segmentation.expression.lexer import Source, tokenize
from segmentation.expression.limits import CONDITIONS_MAX, NESTING_MAX, SET_VALUES_MAX, SOURCE_BYTES_MAX
from segmentation.expression.parser import parse_text
from segmentation.expression.render import to_text
from segmentation.expression.syntax import Expression
from segmentation.expression.words import ALL_SYMBOLS, MEANT_WORDS, OPERATOR_WORDS, RESERVED_WORDS

NO_ATTRIBUTES = AttributeCatalogue.empty()
GROWTH_MAX = 2.3
"""Twice the source may take at most this many times the steps."""

_PIECES = (
    *ALL_SYMBOLS, *OPERATOR_WORDS, *MEANT_WORDS, *RESERVED_WORDS, "(", ")", "[", "]", ",", "and", "or", "&&", "||", "|",
    "the", "past", "future", "of", "with", "than", "ago", "from", "now", "missing", "excluding", "including", "segment",
    "version", "true", "plan", "`a b`", '"x"', "'", '"', "`", "7", "7d", "days", "month", "-1", "02134", "1e999",
    "2026-01-01", "2026-13-45T99:00Z", "2.10.1", "\u201c", "\u2019", "\\", "@", "{", "\n", "\ud800", "M", "null", "!",
)  # fmt: skip
token_soup = st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join)
_COMBINATORS = ("all", "any", "not", "segment", "attribute", "", "\ud800", "plan", "missing", "case")
_TESTS = (
    "is",
    "in",
    "gt",
    "between",
    "within",
    "set",
    "contains",
    "on",
    "before",
    "version_is",
    "any_of",
    "$gt",
    "in_past",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(("7d", "2026")),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from([*_COMBINATORS, *_TESTS]), below, max_size=3)
    ),
    max_leaves=12,
)


@given(st.text() | token_soup)
@example("(" * 5_000)
@example("NOT " * 5_000 + "a")
@example("a\\" * 3_000)
@example("x is '\\")
def test_any_text_is_read_or_refused_with_places_in_it(source: str) -> None:
    found = parse_text(source, NO_ATTRIBUTES)
    if isinstance(found, Rejection):
        assert 1 <= len(found.problems) <= PROBLEMS_MAX
        for problem in found.problems:
            assert problem.span is not None
            assert 0 <= problem.span.offset <= problem.span.offset + problem.span.length <= len(source)
            assert problem.hint
        json.dumps(found.to_json(), ensure_ascii=False).encode()
    else:
        assert isinstance(found, Expression)


@given(json_values)
def test_any_json_is_read_or_refused_with_pointers(where: object) -> None:
    found = parse_json(where, NO_ATTRIBUTES)
    if isinstance(found, Rejection):
        assert 1 <= len(found.problems) <= PROBLEMS_MAX
        assert all(problem.pointer is not None for problem in found.problems)
        json.dumps(found.to_json(), ensure_ascii=False).encode()
    else:
        assert isinstance(found, Expression)


def test_json_of_any_depth_is_refused_and_not_descended_into() -> None:
    where: object = {"a": 1}
    for _ in range(50_000):
        where = {"not": where}
    found = parse_json(where, NO_ATTRIBUTES)
    assert isinstance(found, Rejection)
    assert [problem.code for problem in found.problems] == ["nested_too_deep"]


PATHOLOGICAL: list[Callable[[int], str]] = [
    lambda size: "(" * size,
    lambda size: ")" * size,
    lambda size: "not " * size,
    lambda size: "a is b " * size,
    lambda size: "a is b and " * size,
    lambda size: "(a or " * size,
    lambda size: '\\"\n' * size,
    lambda size: "'\"`" * size,
    lambda size: "x in [" * size,
    lambda size: "x in [a, " + "b, " * size,
    lambda size: "x in (" * size,
    lambda size: "is " * size,
    lambda size: "a b c d " * size,
    lambda size: "1" * size,
    lambda size: "x > " + "9" * size + "z",
    lambda size: "“" * size,
    lambda size: "x in [" + "100," * size,
    lambda size: "x > 1" + ",000" * size,
    lambda size: "@" * size,
    lambda size: "a between 1 and " * size,
    lambda size: "x is " + "word " * size,
    lambda size: "\n" * size + "a =",
]


@pytest.mark.parametrize("source", PATHOLOGICAL, ids=lambda make: str(make(2))[:20])
def test_twice_the_text_takes_about_twice_the_steps(source: Callable[[int], str]) -> None:
    small, large = (_steps(parse_text, source(size)) for size in (1_000, 2_000))
    assert large <= GROWTH_MAX * small + 500, (small, large)


def test_each_curly_quote_looks_for_its_partner_no_further_than_the_next() -> None:
    """Steps do not count what a regular expression does, so the text is one that would take an hour of looking."""
    size = 400_000
    tokens, problems = tokenize(Source("\u201e" * size + "x" * (2 * size)))
    assert len(tokens) == 2
    assert len(problems) == PROBLEMS_MAX


REFUSED_EARLY: list[Callable[[int], object]] = [
    lambda size: [{"a": 1}] * size,
    lambda size: [{"a": {"more_then_ago_in": 1}}] * size,
    lambda size: [{"segment": "vip"}] * size,
    lambda size: {"any": [{"all": [{"not": None}]}] * size},
    lambda size: [{"a": {"in": ["x", "y"], "gt": "z", "is": 1}}] * size,
    lambda size: {"a": {"in": [None] * size}},
    lambda size: {"a": [None] * (10 * size)},
    lambda size: {"a": {"all_of": ["x"] * (10 * size)}},
]


@pytest.mark.parametrize("where", REFUSED_EARLY, ids=lambda make: str(make(2))[:40])
def test_json_that_is_refused_whatever_follows_is_read_no_further(where: Callable[[int], object]) -> None:
    small, large = (_steps(parse_json, where(size)) for size in (2_000, 4_000))
    assert large <= small + 500, (small, large)


def test_no_hint_is_looked_for_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def nearest(word: str, _names: object) -> None:
        looked_up.append(word)

    monkeypatch.setattr(conditions, "nearest_name", nearest)
    monkeypatch.setattr(jsontests, "nearest_name", nearest)
    parse_text("a begins_x and " * 1_000, NO_ATTRIBUTES)
    assert len(looked_up) == PROBLEMS_MAX
    looked_up.clear()
    parse_json([{"a": {"begins_x": 1}}] * 1_000, NO_ATTRIBUTES)
    assert len(looked_up) == PROBLEMS_MAX


def _steps(parse: Callable[[Any, AttributeCatalogue], object], source: object) -> int:
    """How many Python functions are called and lines run while a text or JSON is parsed."""
    count = 0

    def tick(_frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal count
        count += 1
        return tick

    before = sys.gettrace()
    sys.settrace(tick)
    try:
        parse(source, NO_ATTRIBUTES)
    finally:
        sys.settrace(before)
    return count


def test_nesting_is_accepted_to_the_limit_and_no_further() -> None:
    deepest = "(" * NESTING_MAX + "a" + ")" * NESTING_MAX
    assert isinstance(parse_text(deepest, NO_ATTRIBUTES), Expression)
    found = parse_text(f"({deepest})", NO_ATTRIBUTES)
    assert isinstance(found, Rejection)
    assert [problem.code for problem in found.problems] == ["nested_too_deep"]


def test_the_deepest_text_survives_both_round_trips() -> None:
    source = "a"
    for level in range(NESTING_MAX):
        source = (
            f"NOT (b {'and' if level % 2 else 'or'} {source})"
            if level % 3 == 0
            else f"({source} {'and' if level % 2 else 'or'} c)"
        )
    expression = parse_text(f"d or {source}", NO_ATTRIBUTES)
    assert isinstance(expression, Expression)
    assert parse_text(to_text(expression), NO_ATTRIBUTES) == expression
    assert parse_json(to_json(expression), NO_ATTRIBUTES) == expression


def _codes(found: Expression | Rejection) -> list[str]:
    return [problem.code for problem in found.problems] if isinstance(found, Rejection) else []


def test_conditions_are_counted_in_both_forms() -> None:
    assert _codes(parse_text(" and ".join(["a"] * CONDITIONS_MAX), NO_ATTRIBUTES)) == []
    assert _codes(parse_text(" and ".join(["a"] * (CONDITIONS_MAX + 1)), NO_ATTRIBUTES)) == ["too_many_conditions"]
    assert _codes(parse_json([{"a": 1}] * CONDITIONS_MAX, NO_ATTRIBUTES)) == []
    assert _codes(parse_json([{"a": 1}] * (CONDITIONS_MAX + 1), NO_ATTRIBUTES)) == ["too_many_conditions"]


def test_a_set_holds_ten_thousand_values_and_no_more() -> None:
    values = [str(number) for number in range(SET_VALUES_MAX)]
    assert _codes(parse_json({"a": values}, NO_ATTRIBUTES)) == []
    assert _codes(parse_json({"a": [*values, "x"]}, NO_ATTRIBUTES)) == ["set_too_large"]
    assert _codes(parse_text(f"a in [{','.join(map(str, range(SET_VALUES_MAX)))}]", NO_ATTRIBUTES)) == []
    assert _codes(parse_text(f"a in [{','.join(['1'] * (SET_VALUES_MAX + 1))}]", NO_ATTRIBUTES)) == ["set_too_large"]


def test_a_text_literal_has_at_most_1024_characters() -> None:
    assert _codes(parse_text(f'a is "{"ß" * 1024}"', NO_ATTRIBUTES)) == []
    assert _codes(parse_text(f'a is "{"x" * 1025}"', NO_ATTRIBUTES)) == ["text_too_long"]
    assert _codes(parse_json({"a": {"contains": "x" * 1025}}, NO_ATTRIBUTES)) == ["text_too_long"]


def test_the_text_form_has_at_most_64_kibibytes() -> None:
    assert _codes(parse_text("a".ljust(SOURCE_BYTES_MAX), NO_ATTRIBUTES)) == []
    assert _codes(parse_text("a".ljust(SOURCE_BYTES_MAX + 1), NO_ATTRIBUTES)) == ["source_too_long"]
    assert _codes(parse_text("`é`" + " " * (SOURCE_BYTES_MAX - 3), NO_ATTRIBUTES)) == ["source_too_long"]


def test_a_set_whose_canonical_text_is_too_long_is_read_back_from_json_and_told_so() -> None:
    expression = parse_text(f"a in [{','.join(f'v{number}' for number in range(9_000))}]", NO_ATTRIBUTES)
    assert isinstance(expression, Expression)
    assert parse_json(to_json(expression), NO_ATTRIBUTES) == expression
    again = parse_text(to_text(expression), NO_ATTRIBUTES)
    assert isinstance(again, Rejection)
    assert [found.code for found in again.problems] == ["source_too_long"]
    assert "JSON form" in again.problems[0].hint


@given(st.text("abc", max_size=8), st.text("abc", max_size=8), st.integers(1, 5))
def test_a_distance_is_exact_below_its_bound(left: str, right: str, bound: int) -> None:
    assert attributes._distance(left, right, bound) == min(_whole_distance(left, right), bound)


def _whole_distance(left: str, right: str) -> int:
    """Edit distance with neighbouring letters exchanged counted once, every cell of it."""
    rows = [list(range(len(right) + 1))]
    for row in range(1, len(left) + 1):
        rows.append([row])
        for column in range(1, len(right) + 1):
            replaced = rows[row - 1][column - 1] + (left[row - 1] != right[column - 1])
            cost = min(rows[row - 1][column] + 1, rows[row][column - 1] + 1, replaced)
            if row > 1 and column > 1 and left[row - 2 : row] == right[column - 2 : column][::-1]:
                cost = min(cost, rows[row - 2][column - 2] + 1)
            rows[row].append(cost)
    return rows[-1][-1]
