"""Every row of what is echoed: canonical text, canonical JSON and plain English, each read again."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from segmentation.attributes import AttributeCatalogue, AttributeDeclaration
from segmentation.expression.canonical import canonicalize
from segmentation.expression.english import SET_VALUES_SHOWN
from segmentation.expression.jsonform import parse_json, to_json
from segmentation.expression.parser import parse_text
from segmentation.expression.render import to_english, to_text
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Condition,
    Direction,
    Equals,
    Expression,
    InSegment,
    IsTrue,
    Not,
    TextLiteral,
    Within,
)
from segmentation.expression.words import RESERVED_NAMES
from segmentation.model import AttributeName, SegmentId
from tests.unit.expression.language_cases import rows

NO_ATTRIBUTES = AttributeCatalogue.empty()
ROWS = [pytest.param(*row, id=str(row[0])) for row in rows("canonical")]


def _read(source: str) -> Expression:
    expression = parse_text(source, NO_ATTRIBUTES)
    assert isinstance(expression, Expression), expression
    return expression


@pytest.mark.parametrize(("source", "text", "written", "english"), ROWS)
def test_a_save_echoes_the_three_forms(source: str, text: str, written: str, english: str) -> None:
    expression = _read(source)
    assert to_text(expression) == text
    assert orjson.dumps(to_json(expression)) == orjson.dumps(orjson.loads(written))
    assert to_english(expression) == f"Contacts where {english}."


@pytest.mark.parametrize(("source", "text", "written", "english"), ROWS)
def test_every_form_reads_back_as_the_same_tree(source: str, text: str, written: str, english: str) -> None:
    expression = _read(source)
    assert _read(text) == expression
    assert parse_json(json.loads(written), NO_ATTRIBUTES) == expression
    assert canonicalize(expression) == expression


def test_a_declared_direction_decides_a_bare_within() -> None:
    name = AttributeName("trial_ends_at")
    catalogue = AttributeCatalogue.of({name: AttributeDeclaration(direction=Direction.LAST)})
    assert parse_text("trial_ends_at within 1d", catalogue) == Condition(name, Within(Direction.LAST, 86_400_000))
    assert parse_json({"trial_ends_at": {"within": "1d"}}, catalogue) == parse_text(
        "trial_ends_at within 1d", catalogue
    )


FORWARD = """ends_at end_at end_date expires_at expiry expiration_date renews_at renewal_date due_at due_date starts_at
start_date scheduled_at until"""


@pytest.mark.parametrize("ending", FORWARD.split())
def test_names_that_end_in_what_is_to_come_look_forward(ending: str) -> None:
    for name in (ending, f"trial_{ending}", f"contract.{ending}"):
        assert _read(f"{name} within 1d") == _read(f"{name} within next 1d")
    assert _read(f"{ending}_x within 1d") == _read(f"{ending}_x within last 1d")


@pytest.mark.parametrize("name", ["last_active", "weekend_at", "attends_at", "last_next_billing", "seen"])
def test_all_other_names_look_back(name: str) -> None:
    assert _read(f"{name} within 1d") == _read(f"{name} within last 1d")


def test_a_text_that_folds_differently_twice_keeps_its_meaning() -> None:
    text = "\u0130\u0345\u0301"
    test = _read(f'x is "{text}"')
    assert isinstance(test, Condition)
    assert isinstance(test.test, Equals)
    assert canonicalize(test) == test
    assert _read(to_text(test)) == test


READ_ALIKE = [
    ("last_name is x", "`last name` is x"),
    ("last_name is x", "last__name is x"),
    ("_x is 1", "x is 1"),
    ("`a “b” is 1` is 2", "`a ”b“ is 1` is 2"),
    ('a is "x” and b is “y"', 'a is "x" and b is "y"'),
    ('a is "x”"', r'a is "x\\”"'),
    (r'a is "x\n"', r'a is "x\\n"'),
    ("a_is_5_and_b > 3", "a is 5 AND b > 3"),
    ("either_a or b", "a or b"),
    *[
        (f"a in [{', '.join(map(str, range(count)))}]", f"a in [{', '.join(map(str, range(count - 1)))}, 99999]")
        for count in (12, 13, SET_VALUES_SHOWN)
    ],
]


@pytest.mark.parametrize(("one", "other"), READ_ALIKE)
def test_two_meanings_never_read_alike_in_english(one: str, other: str) -> None:
    assert _read(one) != _read(other)
    assert to_english(_read(one)) != to_english(_read(other))
    assert "\n" not in to_english(_read(one))


def test_a_set_too_long_to_be_read_is_cut_and_counted() -> None:
    values = ", ".join(map(str, range(SET_VALUES_SHOWN + 1_000)))
    assert to_english(_read(f"a in [{values}]")).endswith(f", {SET_VALUES_SHOWN - 1} and 1,000 more.")


def test_canonical_trees_have_no_redundant_node() -> None:
    a, b = Condition(AttributeName("a"), IsTrue()), Condition(AttributeName("b"), Equals(TextLiteral("B")))
    tree = canonicalize(AllOf((AllOf((a, AllOf((b,)))), Not(Not(AnyOf((Not(a),)))))))
    assert to_text(tree) == 'a is true AND b is "b" AND a is not true'


@pytest.mark.parametrize(
    "segment_id", [*sorted(RESERVED_NAMES), "segment", "version", "the", "1e5", "02134", "2026-01-01"]
)
def test_a_reference_to_any_legal_id_reads_back(segment_id: str) -> None:
    reference = InSegment(SegmentId(segment_id))
    for expression in (reference, Not(reference), AllOf((reference, reference))):
        assert _read(to_text(expression)) == expression
        assert parse_json(to_json(expression), NO_ATTRIBUTES) == expression


def test_spans_lead_back_to_each_condition() -> None:
    source = 'plan is "Pro"\n  AND mrr > 99'
    tree: Any = _read(source)
    spans = [condition.span for condition in tree.children]
    assert [(span.line, span.column, source[span.offset : span.offset + span.length]) for span in spans] == [
        (1, 1, 'plan is "Pro"'),
        (2, 7, "mrr > 99"),
    ]
