"""One explanation in full, and the parts that people act upon."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from segmentation import attributes
from segmentation.attributes import AttributeCatalogue, AttributeDeclaration, AttributeType, nearest_name
from segmentation.expression import atoms, truth
from segmentation.expression.atoms import Reading
from segmentation.expression.check import advice
from segmentation.expression.explain import ConditionTruth, explain, until
from segmentation.expression.jsonform import parse_json
from segmentation.expression.parser import parse_text
from segmentation.expression.readability import can_read, readings_asked
from segmentation.expression.reads import attributes_read, depends_on_time, segments_read
from segmentation.expression.syntax import Condition, Expression
from segmentation.expression.truth import condition_truth
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, Value
from segmentation.values import read_instant, read_text

NOW = InstantMs(1_778_414_400_000)
"""2026-05-10T12:00:00Z."""
DAY_MS = 86_400_000
VALUES = [f"value {number}" for number in range(2_000)]


def _read(source: str) -> Expression:
    expression = parse_text(source, AttributeCatalogue.empty())
    assert isinstance(expression, Expression), expression
    return expression


def _contact(**attributes: Value) -> dict[AttributeName, Value]:
    return {AttributeName(name): value for name, value in attributes.items()}


def test_an_explanation_in_full() -> None:
    expression = _read("plan is Pro AND (last_active within 7d OR in segment vips) AND mrr > 99")
    contact = _contact(plan="PRO", last_active="2026-05-09T12:00:00Z", mrr="a lot")
    assert explain(expression, contact, NOW).to_json() == {
        "holds": False,
        "at_ms": NOW,
        "until_ms": None,
        "tree": {
            "kind": "all",
            "holds": False,
            "children": [
                {
                    "kind": "condition",
                    "condition": 'plan is "pro"',
                    "holds": True,
                    "attribute": "plan",
                    "value": "PRO",
                    "state": "read",
                    "reading": "text",
                    "read": "PRO",
                    "until_ms": None,
                    "flips": [],
                },
                {
                    "kind": "any",
                    "holds": True,
                    "children": [
                        {
                            "kind": "condition",
                            "condition": "last_active within last 7 days",
                            "holds": True,
                            "attribute": "last_active",
                            "value": "2026-05-09T12:00:00Z",
                            "state": "read",
                            "reading": "instant",
                            "read": "2026-05-09T12:00:00Z",
                            "until_ms": NOW + 6 * DAY_MS,
                            "flips": [],
                        },
                        {"kind": "segment", "segment_id": "vips", "holds": False},
                    ],
                },
                {
                    "kind": "condition",
                    "condition": "mrr > 99",
                    "holds": False,
                    "attribute": "mrr",
                    "value": "a lot",
                    "state": "unreadable",
                    "reading": "number",
                    "read": None,
                    "until_ms": None,
                    "flips": [{"action": "set", "attribute": "mrr", "says": "set mrr to 100", "value": 100}],
                },
            ],
        },
    }


@pytest.mark.parametrize(
    ("source", "contact", "says"),
    [
        ("plan is pro", {"plan": "free"}, ['set plan to "pro"']),
        ("plan is not free", {"plan": "Free"}, ['set plan so that plan is not "free"', "remove plan"]),
        ("plan is set", {}, ["set plan so that plan is set"]),
        ("plan is not set", {"plan": ""}, ["remove plan"]),
        ("mrr >= 99.5", {"mrr": 3}, ["set mrr to 99.5"]),
        ("mrr < 10", {"mrr": 30}, ["set mrr to 9"]),
        ("mrr > 0.5", {}, ["set mrr to 0.5000000000000001"]),
        ("mrr between 10 and 20", {"mrr": 30}, ["set mrr to 20"]),
        ("tags has all of [a, b]", {"tags": ["b", "c"]}, ['set tags to ["b", "c", "a"]']),
        ("tags has none of [a]", {"tags": ["A", "c"]}, ['set tags to ["c"]', "remove tags"]),
        ("name starts with Dr", {"name": "Who"}, ['set name to "drWho"']),
        ('v > version "1.2"', {"v": "1.0"}, ['set v to "1.2.0.1"']),
        ('v < version "1.2"', {"v": "2.0"}, ['set v to "1.2.0.0-0"']),
        ("t within last 7d", {"t": "2026-01-01"}, ['set t to "2026-05-10T12:00:00Z"']),
        (
            "t within last 7d",
            {"t": "2026-05-11"},
            ['set t to "2026-05-10T12:00:00Z"', "wait until 2026-05-11T00:00:00Z"],
        ),
        (
            "t more than 30 days ago",
            {"t": "2026-05-01"},
            ['set t to "2026-04-10T12:00:00Z"', "wait until 2026-05-31T00:00:00Z"],
        ),
        ("t before 2026-01-01", {}, ['set t to "2025-12-31T23:59:59.999Z"']),
        ("NOT (a or b)", {"a": True}, ["set a to false", "remove a"]),
    ],
)
def test_the_smallest_flips(source: str, contact: dict[str, Value], says: list[str]) -> None:
    shown = json.dumps(explain(_read(source), _contact(**contact), NOW).to_json(), ensure_ascii=False)
    found = json.loads(shown)
    pending = [found["tree"]]
    told: list[str] = []
    while pending:
        node = pending.pop(0)
        pending.extend(node.get("children", []))
        told.extend(flip["says"] for flip in node.get("flips", []))
    assert told == says


def test_nothing_is_suggested_for_a_contact_that_is_in() -> None:
    assert '"says"' not in json.dumps(explain(_read("a or b"), _contact(a=True), NOW).to_json())


def test_until_takes_the_first_boundary_at_which_the_whole_flips() -> None:
    expression = _read("(t within last 7d OR t more than 5 days ago) AND u in the future")
    assert until(expression, _contact(t="2026-05-09", u="2026-06-01"), NOW) == read_instant("2026-06-01")
    assert until(_read("t more than 5 days ago"), _contact(t="2020-01-01"), NOW) is None
    assert until(_read("t within last 7d"), {}, NOW) is None


def test_until_sees_through_references() -> None:
    definitions = {
        SegmentId("a"): _read("in segment b"),
        SegmentId("b"): _read("t within last 1d"),
    }
    contact = _contact(t="2026-05-10T00:00:00Z")
    assert until(_read("in segment a"), contact, NOW, (), definitions) == read_instant("2026-05-11T00:00:00Z")
    assert until(_read("in segment a"), contact, NOW, {SegmentId("a")}) is None


def test_what_an_expression_reads() -> None:
    expression = _read("plan is pro and not (in segment a or mrr > 1 or plan is set) and t before 2026-01-01")
    assert attributes_read(expression) == {"plan", "mrr", "t"}
    assert segments_read(expression) == {"a"}
    assert not depends_on_time(expression)
    assert depends_on_time(_read("a or t in the past"))


def test_unreadable_values_are_named_with_their_reading() -> None:
    expression = _read("mrr > 9 and t within 1d and flag and mrr is set and x in [1, true] and mrr < 5 and tags > 3")
    contact = _contact(mrr="lots", t="soon", flag="yes", x="one", tags=["a"])
    asked = [asked for asked in readings_asked(expression) if not can_read(asked, contact[asked.attribute])]
    assert {(each.attribute, each.reading) for each in asked} == {
        ("mrr", "number"),
        ("t", "instant"),
        ("flag", "boolean"),
        ("x", "boolean or number"),
        ("tags", "number"),
    }


def test_advice_names_the_nearest_attribute_and_refuses_nothing() -> None:
    known = {AttributeName("last_active"): AttributeDeclaration(AttributeType.INSTANT)}
    catalogue = AttributeCatalogue.of(known, [AttributeName("plan")])
    told = advice(_read("last_actve within 7d and plna is pro and zzz is 1 and plan is pro"), catalogue)
    assert [(one.code, one.hint) for one in told] == [
        ("unknown_attribute", "did you mean `last_active`?"),
        ("unknown_attribute", "did you mean `plan`?"),
        ("unknown_attribute", "check the name, or send the attribute"),
    ]
    assert told[0].span is not None
    assert advice(_read("anything is 1"), AttributeCatalogue.empty()) == ()


def test_of_an_attribute_that_need_not_be_declared_it_is_not_said_that_no_contact_has_it() -> None:
    declared = AttributeCatalogue.of({AttributeName("orders"): AttributeDeclaration(AttributeType.NUMBER)})
    assert advice(_read("plan is Pro AND orders > 3"), declared) == ()
    [told] = advice(_read("plan is Pro AND Orders > 3"), declared)
    assert (told.message, told.hint) == ("`Orders` is not declared, and `orders` is", "did you mean `orders`?")


def test_a_value_that_stands_alone_is_pointed_out() -> None:
    told = advice(_read("plan is Pro OR Free"), AttributeCatalogue.empty())
    assert [(one.code, one.hint) for one in told] == [("value_alone", "for a second value write `plan in [pro, Free]`")]
    known = AttributeCatalogue.of({}, [AttributeName("plan"), AttributeName("vip")])
    assert advice(_read("plan is Pro OR vip"), known) == ()
    assert advice(_read("plan is Pro OR vip is true"), AttributeCatalogue.empty()) == ()


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("plan is not Pro OR Free", "plan not in [pro, Free]"),
        ("plan is not Pro AND NOT Free", "plan not in [pro, Free]"),
        ("code is exactly aB OR Cd", "code in exactly [aB, Cd]"),
        ('`my city` is "new york" OR Oslo', '`my city` in ["new york", Oslo]'),
    ],
)
def test_what_is_meant_by_a_value_alone_is_turned_round_and_quoted_as_the_first_value_is(
    source: str, meant: str
) -> None:
    [told] = advice(_read(source), AttributeCatalogue.empty())
    assert told.hint == f"for a second value write `{meant}`"
    assert ("must not" in told.message) is ("NOT Free" in source)
    _read(meant)


def test_an_attribute_that_must_not_be_true_is_no_second_value() -> None:
    assert advice(_read("plan is Pro AND NOT churned"), AttributeCatalogue.empty()) == ()


def test_until_looks_at_each_time_condition_only_at_its_own_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counting(condition: Condition, attributes: Attributes, now: InstantMs) -> bool:
        looked.append(now)
        return condition_truth(condition, attributes, now)

    monkeypatch.setattr("segmentation.expression.explain.condition_truth", counting)
    expression = _read(" or ".join(f"t{number} within last 7d" for number in range(200)) + " or never")
    contact = {AttributeName(f"t{number}"): NOW + 1_000 * number for number in range(200)}
    assert until(expression, contact, NOW) == NOW + 199_000 + 7 * DAY_MS
    assert len(looked) <= 3 * 201


def test_the_nearest_name_is_looked_for_once_a_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(left: str, right: str, bound: int) -> int:
        nonlocal compared
        compared += 1
        return distance(left, right, bound)

    distance = attributes._distance
    monkeypatch.setattr(attributes, "_distance", counted)
    names = {AttributeName(f"plan {number}"): AttributeDeclaration() for number in range(10)}
    catalogue = AttributeCatalogue.of(names)
    mistyped = _read("`paln 7` is pro")
    assert advice(mistyped, catalogue, suggest=False) == ()
    assert compared == 0
    told = advice(mistyped, catalogue)
    assert [one.hint for one in told] == ["did you mean `plan 7`?"]
    assert compared == len(names)
    assert advice(mistyped, catalogue) == told
    assert compared == len(names)
    other = AttributeCatalogue.of({AttributeName("paln 8"): AttributeDeclaration()})
    assert [one.hint for one in advice(mistyped, other)] == ["did you mean `paln 8`?"]


def test_names_with_a_long_beginning_in_common_are_compared_by_what_differs() -> None:
    """Comparing all of each with all of each other is two thousand cells a name."""
    beginning = "organization.billing_address.geography.region."
    names = [f"{beginning}{number:05x}" for number in range(300)]
    steps = _steps(lambda: nearest_name(f"{beginning}zz00f", names))
    assert nearest_name(f"{beginning}zz00f", names) == names[15]
    assert steps <= 500 * len(names)


def _steps(work: Callable[[], object]) -> int:
    """How many Python functions are called and lines run."""
    steps = 0

    def tick(_frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal steps
        steps += 1
        return tick

    before = sys.gettrace()
    sys.settrace(tick)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def test_until_looks_at_what_turns_and_not_at_everything_for_each_boundary() -> None:
    def looked_ahead(size: int) -> int:
        """Of a chain of segments none of whose many boundaries flips the whole."""
        always = _read("never is 1 or yes is 1")
        definitions = {
            SegmentId(f"s{number}"): _read(
                " and ".join([f"(a{number}_{at} within next 7d or yes is 1)" for at in range(size)])
                + f" and in segment s{number + 1}"
            )
            for number in range(4)
        } | {SegmentId("s4"): always}
        contact = _contact(yes=1) | {
            AttributeName(f"a{number}_{at}"): NOW + 8 * DAY_MS + 1_000 * (number * size + at)
            for number in range(4)
            for at in range(size)
        }
        referring = _read("in segment s0")
        assert until(referring, contact, NOW, (), definitions) is None
        return _steps(lambda: until(referring, contact, NOW, (), definitions))

    assert looked_ahead(100) <= 2.5 * looked_ahead(50)


def test_advice_on_what_is_legal_and_odd() -> None:
    typed = AttributeCatalogue.of({AttributeName("t"): AttributeDeclaration(AttributeType.INSTANT)})
    empty = AttributeCatalogue.empty()
    for rounded in (
        "id is 12345678901234567890",
        "id > 12345678901234567890",
        "id in [5, 12345678901234567890, 12345678901234567891, x]",
        "ids has none of [5, -12345678901234567890]",
        "ids has all of [5, 12345678901234567890]",
        "id between 5 and 12345678901234567890",
    ):
        assert [one.code for one in advice(_read(rounded), empty)] == ["inexact_number"], rounded
    assert advice(_read("id in [9007199254740992, 5] and id between 1 and 9007199254740992"), empty) == ()
    assert [one.code for one in advice(_read("t is 2026-05-01"), empty)] == ["midnight_only"]
    assert [one.code for one in advice(_read("t is true"), typed)] == ["unlikely_type"]


@pytest.mark.parametrize(
    ("test", "held"),
    [("all_of", []), ("all_of", VALUES[::2]), ("in", [f"no {one}" for one in VALUES]), ("none_of", VALUES)],
    ids=["nothing held", "half held", "others held", "all held"],
)
def test_a_large_set_and_a_long_list_are_each_gone_through_a_few_times(
    test: str, held: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing each value of the one with each of the other is four million readings."""
    expression = parse_json({"tags": {test: VALUES}}, AttributeCatalogue.empty())
    assert isinstance(expression, Expression), expression
    read = 0

    def counted(value: Value | None) -> str | None:
        nonlocal read
        read += 1
        return read_text(value)

    monkeypatch.setitem(atoms.READERS, Reading.FOLDED, counted)
    monkeypatch.setattr(truth, "read_text", counted)
    explained = explain(expression, _contact(tags=[*held]), NOW)
    assert not explained.holds
    assert isinstance(explained.tree, ConditionTruth)
    assert explained.tree.flips[0].value is not None
    assert len(held) <= read <= 10 * len(VALUES)
