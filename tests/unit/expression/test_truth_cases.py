"""Every row of what conditions mean, in both forms, through all that decides truth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmentation.attributes import AttributeCatalogue
from segmentation.expression.compiler import compile_segment
from segmentation.expression.explain import explain
from segmentation.expression.source import parse_where
from segmentation.expression.syntax import Expression
from segmentation.flatten import flatten
from segmentation.model import AttributeName, InstantMs, SegmentId, SegmentState, Value
from segmentation.values import read_instant
from tests.oracle import language as oracle
from tests.unit.expression.language_cases import rows
from tidegate.evaluation import answer

NOW = "2026-05-10T12:00:00Z"
NO_ATTRIBUTES = AttributeCatalogue.empty()


def _cases() -> list[Any]:
    return [
        pytest.param(row, attributes, key == "holds", id=f"{row['name']}: {attributes} {key}")
        for row in rows("truth") + rows("references")
        for key in ("holds", "fails")
        for attributes in row[key]
    ]


CASES = _cases()


def _parsed(where: object) -> Expression:
    expression = parse_where(where, NO_ATTRIBUTES)
    assert isinstance(expression, Expression), expression
    return expression


def _flat(attributes: str) -> dict[AttributeName, Value]:
    flattened = flatten(json.loads(attributes))
    assert not flattened.problems
    return {name: value for name, value in flattened.changes.items() if value is not None}


def test_there_are_at_least_three_hundred_rows_of_meaning() -> None:
    assert len(CASES) >= 300


@pytest.mark.parametrize(("row", "attributes", "holds"), CASES)
def test_both_forms_mean_what_the_row_says(row: dict[str, Any], attributes: str, holds: bool) -> None:
    segments = json.loads(row.get("segments", "{}"))
    for where in (row["text"], json.loads(row["json"])):
        asked = {"where": where, "attributes": json.loads(attributes), "now": NOW, "segments": segments}
        assert answer(asked) == {"member": holds}


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in rows("truth") + rows("references")])
def test_both_forms_are_one_canonical_tree(row: dict[str, Any]) -> None:
    assert _parsed(row["text"]) == _parsed(json.loads(row["json"]))


@pytest.mark.parametrize(("row", "attributes", "holds"), CASES)
def test_compiled_code_the_explanation_and_the_oracle_agree(row: dict[str, Any], attributes: str, holds: bool) -> None:
    expression, held, now = _parsed(row["text"]), _flat(attributes), read_instant(NOW)
    assert now is not None
    definitions = {SegmentId(key): _parsed(where) for key, where in json.loads(row.get("segments", "{}")).items()}
    assert oracle.holds(expression, held, now, definitions) is holds
    assert explain(expression, held, now, (), definitions).holds is holds
    if not definitions:
        compiled = compile_segment(SegmentId("it"), 1, SegmentState.ACTIVE, expression)
        assert compiled.holds(held, InstantMs(now), frozenset()) is holds
