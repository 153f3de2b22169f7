"""The normal form: where negation and missing policies go, and how far the disjunctive form is taken."""

from __future__ import annotations

from segmentation.expression.atoms import Below, Reading, at_least, below, equal, key_of, present, readable
from segmentation.expression.normal import (
    CONJUNCTIONS_MAX,
    FALSE,
    TRUE,
    All,
    Literal,
    Some,
    conjunctions,
    literals,
    normalize,
)
from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Direction,
    Equals,
    HasAll,
    IsSet,
    MissingPolicy,
    Not,
    NumberLiteral,
    OneOf,
    Order,
    TextLiteral,
    Within,
)
from segmentation.model import AttributeName
from tests.unit.index.builders import PLAN, SCORE, SEEN_AT, TAGS, plan_is, score_from, tagged

PRO = Literal(equal(PLAN, frozenset({key_of(TextLiteral("pro"))})), True)


def test_two_spellings_of_a_condition_are_one_atom() -> None:
    assert normalize(plan_is("Pro")) == normalize(plan_is("PRO")) == PRO
    assert normalize(Condition(PLAN, OneOf((TextLiteral("pro"), TextLiteral("Pro"))))) == PRO
    assert normalize(Condition(PLAN, Equals(TextLiteral("Pro"), exact=True))) != PRO


def test_negation_goes_to_the_literals() -> None:
    expression = Not(AllOf((plan_is("pro"), Not(AnyOf((score_from(1), Not(tagged("x"))))))))
    normal = normalize(expression)
    assert isinstance(normal, Some)
    assert [literal.positive for literal in literals(normal)] == [False, True, False]


def test_above_and_at_most_share_a_cut_but_not_an_atom() -> None:
    above = normalize(Condition(SCORE, Compare(Order.GT, NumberLiteral(5))))
    at_most = normalize(Condition(SCORE, Compare(Order.LTE, NumberLiteral(5))))
    assert isinstance(above, Literal)
    assert isinstance(at_most, Literal)
    assert above.atom is at_least(SCORE, Reading.NUMBER, 5.000000000000001)
    assert isinstance(at_most.atom, Below)
    assert at_most.atom is below(SCORE, Reading.NUMBER, 5.000000000000001)


def test_a_missing_policy_is_said_by_readability() -> None:
    readable_number = readable(SCORE, frozenset({Reading.NUMBER}), lists=False)
    above = score_from(5)
    atom = at_least(SCORE, Reading.NUMBER, 5.0)
    excluded = normalize(Condition(SCORE, above.test, negated=True, missing=MissingPolicy.EXCLUDE))
    assert excluded == All((Literal(atom, False), Literal(readable_number, True)))
    included = normalize(Condition(SCORE, above.test, missing=MissingPolicy.INCLUDE))
    assert included == Some((Literal(atom, True), Literal(readable_number, False)))


def test_presence_has_no_missing_policy() -> None:
    plain = normalize(Condition(PLAN, IsSet(), negated=True))
    assert normalize(Condition(PLAN, IsSet(), negated=True, missing=MissingPolicy.EXCLUDE)) == plain


def test_within_the_last_days_is_two_cuts_of_one_age() -> None:
    normal = normalize(Condition(SEEN_AT, Within(Direction.LAST, 1_000)))
    assert normal == All(
        (Literal(at_least(SEEN_AT, Reading.AGE, 0), True), Literal(below(SEEN_AT, Reading.AGE, 1_000), True))
    )


def test_contradictions_leave_the_disjunctive_form() -> None:
    contradiction = AllOf((plan_is("pro"), Not(plan_is("Pro"))))
    assert conjunctions(normalize(contradiction)) == ()
    assert conjunctions(normalize(AnyOf((contradiction, plan_is("pro"))))) == ((PRO,),)
    assert conjunctions(TRUE) == ((),)
    assert conjunctions(FALSE) == ()


def test_equal_alternatives_stand_once() -> None:
    either = AnyOf((AllOf((plan_is("a"), tagged("b"))), AllOf((tagged("b"), plan_is("a")))))
    assert len(conjunctions(normalize(either)) or ()) == 1


def test_the_disjunctive_form_is_taken_to_its_limit_and_no_further() -> None:
    def one_of_each(groups: int) -> AllOf:
        return AllOf(tuple(AnyOf((plan_is(f"{n}"), tagged(f"{n}"))) for n in range(groups)))

    assert len(conjunctions(normalize(one_of_each(4))) or ()) == CONJUNCTIONS_MAX
    assert conjunctions(normalize(one_of_each(5))) is None


def test_a_conjunction_of_many_literals_is_not_copied_for_each_of_them() -> None:
    """Copying would be twenty thousand million entries: a quarter of an hour."""
    many = tuple(Literal(present(AttributeName(f"a{number}")), True) for number in range(200_000))
    assert conjunctions(All(many)) == (many,)
    assert conjunctions(All((*many[:3], Literal(many[1].atom, False)))) == ()


def test_has_all_is_a_conjunction_and_its_complement_a_disjunction() -> None:
    both = Condition(TAGS, HasAll((TextLiteral("a"), TextLiteral("b"))))
    assert isinstance(normalize(both), All)
    assert isinstance(normalize(Not(both)), Some)
