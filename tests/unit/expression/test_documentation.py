"""What the documentation shows is what happens: every expression in it is read, every answer in it is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation import values
from segmentation.attributes import AttributeCatalogue
from segmentation.errors import PROBLEMS_MAX, Rejection
from segmentation.expression import limits
from segmentation.expression.jsonform import parse_json
from segmentation.expression.jsontests import TESTS
from segmentation.expression.parser import parse_text
from segmentation.expression.syntax import Expression
from segmentation.registry import REFERENCE_DEPTH_MAX
from tidegate.evaluation import answer

ROOT = Path(__file__).parents[3]
LANGUAGE = (ROOT / "docs" / "language.md").read_text("utf-8")
GRAMMAR = (ROOT / "segmentation" / "expression" / "GRAMMAR.md").read_text("utf-8")
NO_ATTRIBUTES = AttributeCatalogue.empty()


def _blocks(kind: str) -> Iterator[list[str]]:
    for match in re.finditer(rf"^```{kind}\n(.*?)^```$", LANGUAGE, re.MULTILINE | re.DOTALL):
        yield match[1].splitlines()


def _pairs(kind: str) -> list[tuple[str, str]]:
    return [pair for lines in _blocks(kind) for pair in zip(lines[::2], lines[1::2], strict=True)]


TEXTS = [line for lines in _blocks("text") for line in lines]
TABLE = [one for row in re.findall(r"^\| [^|]+ \| (`.+) \|$", LANGUAGE, re.MULTILINE) for one in row.split(" · ")]
SPELLINGS = [one.strip("`") for one in TABLE if one.count("`") == 2 and "…" not in one]


@pytest.mark.parametrize("source", TEXTS + SPELLINGS)
def test_every_expression_shown_is_read(source: str) -> None:
    assert isinstance(parse_text(source, NO_ATTRIBUTES), Expression)


def test_the_table_of_conditions_is_found() -> None:
    assert len(SPELLINGS) >= 45
    assert len(TEXTS) >= 6


@pytest.mark.parametrize("source", ["\n".join(lines) for lines in _blocks("json")])
def test_every_json_shown_is_read(source: str) -> None:
    assert isinstance(parse_json(json.loads(source), NO_ATTRIBUTES), Expression)


@pytest.mark.parametrize(("asked", "told"), _pairs("eval"))
def test_every_answer_shown_is_given(asked: str, told: str) -> None:
    assert answer(json.loads(asked)) == json.loads(told)


@pytest.mark.parametrize(("source", "told"), _pairs("refused"))
def test_every_refusal_shown_is_given(source: str, told: str) -> None:
    found = parse_text(source, NO_ATTRIBUTES)
    assert isinstance(found, Rejection)
    assert [f"{one.code}: {one.message}. Hint: {one.hint}" for one in found.problems] == [told]


def test_every_json_test_is_documented_in_both_places() -> None:
    for name in TESTS:
        shown = name.removeprefix("not_") if name.endswith(("contains", "starts_with", "ends_with")) else name
        assert f"`{shown}`" in GRAMMAR
        assert f"`{shown}`" in LANGUAGE


def test_the_limits_in_the_grammar_are_the_limits_in_the_code() -> None:
    stated = dict(re.findall(r"^\| (.+?) \| ([0-9,]+)", GRAMMAR.split("## Limits")[1], re.MULTILINE))
    assert {what: int(number.replace(",", "")) for what, number in stated.items()} == {
        "Text form": limits.SOURCE_BYTES_MAX // 1024,
        "Brackets within one another; combinators within the outermost one": limits.NESTING_MAX,
        "Conditions and references in an expression": limits.CONDITIONS_MAX,
        "Values of a set": limits.SET_VALUES_MAX,
        "Characters of a text literal": limits.LITERAL_CHARS_MAX,
        "Characters of an attribute's name": limits.ATTRIBUTE_NAME_CHARS_MAX,
        "A duration": limits.DURATION_MS_MAX // values.DAY_MS,
        "Problems listed at once": PROBLEMS_MAX,
        "References that follow one another": REFERENCE_DEPTH_MAX,
    }


@pytest.mark.parametrize("word", ["true", "false", "5", "null", "nil", "undefined", "set", "missing", "and", "not"])
def test_the_words_that_the_page_says_need_quotes_are_no_text_without_them(word: str) -> None:
    assert f"`{word}`" in LANGUAGE or word == "5"
    quoted = parse_text(f'plan is "{word}"', NO_ATTRIBUTES)
    assert isinstance(quoted, Expression)
    assert parse_text(f"plan is {word}", NO_ATTRIBUTES) != quoted


def test_the_page_says_how_many_errors_are_listed_at_once() -> None:
    assert f"the first {PROBLEMS_MAX}, each" in LANGUAGE
    assert f"the first {PROBLEMS_MAX};" in GRAMMAR


def test_the_page_says_where_seconds_become_milliseconds() -> None:
    assert f"{values.SECONDS_BELOW:,.0f} (1e11" in LANGUAGE
