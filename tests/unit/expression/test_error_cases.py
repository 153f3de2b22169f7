"""Every row of what is refused: the codes, the place of each, and what its hint says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Problem, Rejection
from segmentation.expression.jsonform import parse_json
from segmentation.expression.jsontests import TESTS
from segmentation.expression.parser import parse_text
from segmentation.expression.syntax import Expression
from tests.unit.expression.language_cases import rows

NO_ATTRIBUTES = AttributeCatalogue.empty()
TEXTS = [pytest.param(row, id=row["text"]) for row in rows("errors") if "text" in row]
JSONS = [pytest.param(row, id=row["json"]) for row in rows("errors") if "json" in row]


def _problems(found: Expression | Rejection) -> tuple[Problem, ...]:
    return found.problems if isinstance(found, Rejection) else ()


@pytest.mark.parametrize("row", TEXTS)
def test_a_text_is_refused_at_the_place_and_with_the_hint(row: dict[str, Any]) -> None:
    source = row["text"]
    found = _problems(parse_text(source, NO_ATTRIBUTES))
    expected = [tuple(problem) for problem in row["problems"]]
    marked = [(problem.code, _marked(source, problem), problem.hint) for problem in found]
    if row.get("any_order"):
        marked.sort()
        expected.sort()
    if row.get("at_least"):
        marked = [one for one in marked if any(one[:2] == wanted[:2] for wanted in expected)]
        assert marked
        return
    assert [one[:2] for one in marked] == [one[:2] for one in expected]
    for (_, _, hint), (_, _, part) in zip(marked, expected, strict=True):
        assert part in hint
    if "at" in row:
        assert [problem.span.offset for problem in found if problem.span] == row["at"]


@pytest.mark.parametrize("row", JSONS)
def test_json_is_refused_at_the_pointer_and_with_the_hint(row: dict[str, Any]) -> None:
    found = _problems(parse_json(json.loads(row["json"]), NO_ATTRIBUTES))
    assert [(problem.code, problem.pointer) for problem in found] == [tuple(one[:2]) for one in row["problems"]]
    for problem, (_, _, part) in zip(found, row["problems"], strict=True):
        assert part in problem.hint


HALF = "\ud800"


@pytest.mark.parametrize(
    "source", [f'a is "{HALF}"', f"a contains 'x{HALF}'", f"`{HALF}` is 5", f"a is {HALF}", f'a is "{HALF}']
)
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(source: str) -> None:
    found = _problems(parse_text(source, NO_ATTRIBUTES))
    places = [(problem.span.offset, problem.code) for problem in found if problem.span]
    assert (source.index(HALF), "invalid_character") in places


def test_the_character_that_stands_for_half_a_pair_may_be_written() -> None:
    assert _problems(parse_text('a is "\ufffd"', NO_ATTRIBUTES)) == ()


@pytest.mark.parametrize("test", [*TESTS])
@pytest.mark.parametrize(
    "number",
    [10**5000, -(10**5000), 10**400, float("inf"), float("nan"), -7, 0],
    ids=lambda one: f"{one:.0e}" if one < 1e300 and one > -1e300 else "large",
)
def test_no_number_of_json_is_raised_on(test: str, number: float) -> None:
    for operand in (number, [number], [number, number]):
        json.dumps([one.to_json() for one in _problems(parse_json({"a": {test: operand}}, NO_ATTRIBUTES))]).encode()


@pytest.mark.parametrize("test", ["before", "after", "on", "within", "more_than_ago", "instant_is"])
def test_a_number_beyond_64_bits_is_no_instant_and_no_duration(test: str) -> None:
    [found] = _problems(parse_json({"a": {test: 10**5000}}, NO_ATTRIBUTES))
    assert (found.code, found.pointer) == (
        "expects_duration" if test in {"within", "more_than_ago"} else "number_out_of_range",
        f"/a/{test}",
    )


@pytest.mark.parametrize("row", TEXTS + JSONS)
def test_messages_are_lower_case_and_hints_are_there(row: dict[str, Any]) -> None:
    where = row.get("text")
    parsed = (
        parse_text(where, NO_ATTRIBUTES) if where is not None else parse_json(json.loads(row["json"]), NO_ATTRIBUTES)
    )
    for problem in _problems(parsed):
        assert problem.message
        assert not problem.message[0].isupper() or problem.message.startswith("AND")
        assert not problem.message.endswith(".")
        assert problem.hint
        assert (problem.span is None) != (problem.pointer is None)
        json.dumps(problem.to_json()).encode()


def _marked(source: str, problem: Problem) -> str:
    assert problem.span is not None
    span = problem.span
    lines = source.split("\n")
    assert len("\n".join([*lines[: span.line - 1], ""])) + span.column - 1 == span.offset
    return source[span.offset : span.offset + span.length]
