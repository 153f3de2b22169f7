"""What compiling promises beside truth: nobody's text is run, code is shared, the language's limits are bearable."""

from __future__ import annotations

from segmentation.expression.limits import SET_VALUES_MAX
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    BooleanLiteral,
    Compare,
    Condition,
    Direction,
    Equals,
    Expression,
    HasAll,
    InSegment,
    Not,
    NumberLiteral,
    Order,
    TextLiteral,
    Within,
)
from segmentation.model import AttributeName, InstantMs, SegmentId, Value
from tests.unit.index.builders import PLAN, SEEN_AT, TAGS, plan_is, score_from, segment, tagged

NOW = InstantMs(1_790_000_000_000)
NESTING_MAX = 32
CONDITIONS_MAX = 500


def test_what_a_person_wrote_is_compared_and_never_run() -> None:
    hostile = "x') or __import__('os').abort() or ('"
    name = AttributeName(f"`{hostile}\n\\")
    expression = AllOf(
        (Condition(name, Equals(TextLiteral(hostile))), Not(InSegment(SegmentId(hostile))), plan_is("{PLAN}"))
    )
    compiled = segment("hostile", expression)
    assert compiled.holds({name: hostile.upper(), PLAN: "{plan}"}, NOW, ())
    assert not compiled.holds({name: hostile, PLAN: "{plan}"}, NOW, {SegmentId(hostile)})


def test_segments_of_one_shape_share_their_code() -> None:
    one = segment("one", AllOf((plan_is("pro"), score_from(5))))
    other = segment("other", AllOf((plan_is("free"), score_from(50))))
    assert one.holds.__code__ is other.holds.__code__
    assert one.holds({"plan": "Pro", "score": "5"}, NOW, ())  # type: ignore[dict-item]  # plain names
    assert not other.holds({"plan": "Pro", "score": "5"}, NOW, ())  # type: ignore[dict-item]  # as above


def test_the_deepest_nesting_compiles() -> None:
    expression: Expression = Condition(PLAN, Compare(Order.GT, NumberLiteral(1)), negated=True)
    for level in range(NESTING_MAX):
        expression = Not(AllOf((expression, score_from(level)))) if level % 2 else AnyOf((expression, tagged("x")))
    compiled = segment("deep", expression)
    assert compiled.holds({}, NOW, ()) is True


def test_the_most_conditions_compile() -> None:
    expression = AllOf(tuple(Not(plan_is(f"plan {number}")) for number in range(CONDITIONS_MAX)))
    compiled = segment("many", expression)
    assert compiled.holds({PLAN: "other"}, NOW, ())
    assert not compiled.holds({PLAN: "PLAN 499"}, NOW, ())


def test_a_compiled_segment_says_what_it_depends_on() -> None:
    recent = Condition(SEEN_AT, Within(Direction.LAST, 1_000))
    compiled = segment("one", AnyOf((recent, AllOf((plan_is("pro"), InSegment(SegmentId("two")))))))
    assert compiled.reads == {PLAN, SEEN_AT}
    assert compiled.references == {SegmentId("two")}
    assert compiled.time_dependent
    assert compiled.next_flip({SEEN_AT: NOW}, InstantMs(NOW - 1)) == NOW
    assert compiled.next_flip({SEEN_AT: NOW}, NOW) == NOW + 1_000
    assert compiled.next_flip({SEEN_AT: NOW}, InstantMs(NOW + 1_000)) is None
    assert compiled.next_flip({SEEN_AT: "not an instant"}, NOW) is None


def test_numbers_beyond_exact_floats_compare_as_they_are_read() -> None:
    limit = segment("limit", score_from(2.0**53))
    huge = {AttributeName("score"): 2**53 + 1}
    assert limit.holds(huge, NOW, ())
    equal = segment("equal", Condition(AttributeName("score"), Equals(NumberLiteral(2.0**53))))
    assert equal.holds(huge, NOW, ()), "2^53 + 1 is read as the float 2^53"


def test_a_set_that_a_list_must_have_whole_is_one_constant_however_large() -> None:
    values = [f"value {number}" for number in range(SET_VALUES_MAX)]
    whole = Condition(TAGS, HasAll(tuple(map(TextLiteral, values))))
    has, lacks = segment("has", whole), segment("lacks", Not(whole))
    assert len(has.holds.__code__.co_freevars) == len(lacks.holds.__code__.co_freevars) == 2
    held: list[Value | None] = [
        [*map(str.upper, values), 1], [*values[1:], *values[1:]], [*values[1:], True], [], values[0], 1, True, None
    ]  # fmt: skip
    contacts = [{} if value is None else {TAGS: value} for value in held]
    assert [has.holds(contact, NOW, ()) for contact in contacts] == [True] + 7 * [False]
    assert [lacks.holds(contact, NOW, ()) for contact in contacts] == [False] + 7 * [True]


def test_numbers_truths_and_texts_of_one_set_are_each_read_as_what_they_are() -> None:
    asked = (NumberLiteral(1), NumberLiteral(2), BooleanLiteral(True), TextLiteral("1"), TextLiteral("x"))
    has = segment("has", Condition(TAGS, HasAll(asked)))
    assert has.holds({TAGS: ["1", "2.0", "TRUE", "X"]}, NOW, ())
    assert has.holds({TAGS: [1, 2.0, True, "X"]}, NOW, ())
    assert not has.holds({TAGS: [True, 2, "x"]}, NOW, ()), "true is no number"
    assert not has.holds({TAGS: [1, 2, "x"]}, NOW, ()), "nor is 1 true"
    assert not has.holds({TAGS: [1.0, True, "x"]}, NOW, ())


def test_elements_of_several_attributes_and_other_tests_of_them_stay_apart() -> None:
    both = segment("both", AllOf((tagged("a"), plan_is("a"), tagged("b"), Not(tagged("c")), plan_is("b"))))
    assert both.holds({TAGS: ["b", "A"], PLAN: ["b", "a"]}, NOW, ())
    assert not both.holds({TAGS: ["b", "a"], PLAN: ["b"]}, NOW, ())
    assert not both.holds({TAGS: ["b", "a", "c"], PLAN: ["b", "a"]}, NOW, ())
    either = segment("either", AnyOf((Not(tagged("a")), plan_is("a"), Not(tagged("b")), plan_is("b"))))
    assert not either.holds({TAGS: ["a", "b"], PLAN: "c"}, NOW, ())
    assert either.holds({TAGS: ["a", "b"], PLAN: "b"}, NOW, ())
    assert either.holds({TAGS: ["a"], PLAN: "c"}, NOW, ())
