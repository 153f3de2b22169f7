"""Nested attributes become flat ones, and whatever a contact cannot hold is pointed at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.flatten import ATTRIBUTES_MAX, NESTING_MAX, flatten


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"leaf": 1}
    for _ in range(depth - 1):
        inner = {"n": inner}
    return inner


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ({}, {}),
        ({"plan": "pro"}, {"plan": "pro"}),
        ({"address": {"city": "Oslo"}}, {"address.city": "Oslo"}),
        ({"a": {"b": {"c": 1}, "d": None}}, {"a.b.c": 1, "a.d": None}),
        ({"address": None}, {"address": None}),
        ({"address": {}}, {}),
        ({"tags": ["a", 1, True, 2.5]}, {"tags": ["a", 1, True, 2.5]}),
        ({"tags": [], "name": ""}, {"tags": [], "name": ""}),
        ({"zip": "02134"}, {"zip": "02134"}),
        ({"a.b": 1, "a": {"c": 2}}, {"a.b": 1, "a.c": 2}),
        ({"n": 2**60, "f": 0.5}, {"n": 2**60, "f": 0.5}),
    ],
)
def test_what_is_sent_becomes_what_is_held(sent: dict[str, Any], held: dict[str, Any]) -> None:
    flattened = flatten(sent)
    assert (flattened.changes, flattened.problems) == (held, ())


@pytest.mark.parametrize(
    ("sent", "code", "pointer"),
    [
        ([], "expects_object", ""),
        ("plan", "expects_object", ""),
        ({"": 1}, "empty_name", "/"),
        ({"a": {"": 1}}, "empty_name", "/a/"),
        ({"x" * 257: 1}, "name_too_long", "/" + "x" * 257),
        ({"a": {"x" * 255: 1}}, "name_too_long", "/a/" + "x" * 255),
        ({"a.b": 1, "a": {"b": 2}}, "named_twice", "/a/b"),
        ({"tags": [["a"]]}, "nested_in_list", "/tags/0"),
        ({"tags": ["a", None]}, "nested_in_list", "/tags/1"),
        ({"tags": [{"a": 1}]}, "nested_in_list", "/tags/0"),
        ({"n": float("nan")}, "not_finite", "/n"),
        ({"n": float("inf")}, "not_finite", "/n"),
        ({"n": 10**400}, "not_finite", "/n"),
        ({"n": [float("nan")]}, "not_finite", "/n/0"),
        ({"n": object()}, "unknown_type", "/n"),
        ({"a/b~c": [None]}, "nested_in_list", "/a~1b~0c/0"),
        ({"tags": [0] * 10_001}, "list_too_long", "/tags"),
        ({f"a{n}": n for n in range(ATTRIBUTES_MAX + 1)}, "too_many_attributes", f"/a{ATTRIBUTES_MAX}"),
    ],
)
def test_what_cannot_be_held_is_pointed_at(sent: object, code: str, pointer: str) -> None:
    problems = flatten(sent).problems
    assert [(problem.code, problem.pointer) for problem in problems] == [(code, pointer)]
    assert all(problem.hint for problem in problems)


def test_depth_is_limited_and_never_a_crash() -> None:
    assert flatten(nested(NESTING_MAX)).problems == ()
    assert [problem.code for problem in flatten(nested(NESTING_MAX + 1)).problems] == ["too_deep"]
    assert [problem.code for problem in flatten(nested(50_000)).problems] == ["too_deep"]


def test_every_problem_of_a_write_is_reported() -> None:
    assert len(flatten({"a": [None], "b": float("nan"), "": 1}, "/attributes").problems) == 3


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text("ab./~", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab./~", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_a_flat_write_stays_as_it_is_however_it_came_to_be_flat(sent: object) -> None:
    once = flatten(sent)
    if not once.problems:
        assert flatten(once.changes).changes == once.changes


@given(JSON_VALUES)
def test_a_write_without_problems_holds_only_flat_values(sent: object) -> None:
    flattened = flatten(sent)
    if not flattened.problems:
        for value in flattened.changes.values():
            assert not isinstance(value, dict)
            assert not isinstance(value, list) or not any(isinstance(v, dict | list | None) for v in value)
