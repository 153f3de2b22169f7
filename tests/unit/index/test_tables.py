"""Places: what a facet's table tells apart, what flips between two places, and that memories are bounded."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from segmentation.expression import atoms
from segmentation.expression.atoms import Reading, at_least, below, equal, key_of, present, readable, substring
from segmentation.expression.readings import EPOCH_MS_MAX, FOLDED_ELEMENTS, REMEMBERED_CHARS_MAX, Remembered
from segmentation.expression.syntax import NumberLiteral, TextLiteral, TextMatchKind, VersionLiteral
from segmentation.index.match import PLACES_MAX, MatchTable
from segmentation.index.places import PresenceTable, Table, truth
from segmentation.index.scale import ScaleTable
from segmentation.model import InstantMs, Value
from tests.unit.index.builders import PLAN, SCORE, SEEN_AT
from tests.unit.index.test_catalogue import NOW

FROM_5, FROM_10 = at_least(SCORE, Reading.NUMBER, 5.0), at_least(SCORE, Reading.NUMBER, 10.0)
UNDER_10 = below(SCORE, Reading.NUMBER, 10.0)
SCORES = ScaleTable(Reading.NUMBER, (), {}, {}).with_atoms([FROM_10, UNDER_10, FROM_5])

PRO = equal(PLAN, frozenset({key_of(TextLiteral("pro"))}))
FIVE = equal(PLAN, frozenset({key_of(NumberLiteral(5))}))
HAS_RO = substring(PLAN, TextMatchKind.CONTAINS, "RO", exact=False)
NUMERIC = readable(PLAN, frozenset({Reading.NUMBER}), lists=False)
PLANS = MatchTable({}, (), ()).with_atoms([PRO, FIVE, HAS_RO, NUMERIC])


def place(table: Table, value: Value | None) -> object:
    return table.place(value, NOW)


@pytest.mark.parametrize(
    ("old", "new", "rising", "falling"),
    [
        (4, 5, {FROM_5}, set()),
        (5, 9.99, set(), set()),
        (5, 10, {FROM_10}, {UNDER_10}),
        (10, 4, {UNDER_10}, {FROM_5, FROM_10}),
        (None, 7, {FROM_5, UNDER_10}, set()),
        ("11", "seven", set(), {FROM_5, FROM_10}),
        ([7], "4", {UNDER_10}, set()),
    ],
)
def test_the_cuts_between_two_numbers_are_what_flips(
    old: Value | None, new: Value | None, rising: set[object], falling: set[object]
) -> None:
    was, will = SCORES.place(old, NOW), SCORES.place(new, NOW)
    if was == will:
        assert not rising
        assert not falling
    else:
        found = SCORES.flipped(was, will)
        assert (set(found[0]), set(found[1])) == (rising, falling)


def test_an_age_moves_with_the_clock_and_flips_at_the_millisecond() -> None:
    week = at_least(SEEN_AT, Reading.AGE, 7_000)
    table = ScaleTable(Reading.AGE, (), {}, {}).with_atoms([week])
    assert not truth(week, table.place(NOW, InstantMs(NOW + 6_999)))
    assert truth(week, table.place(NOW, InstantMs(NOW + 7_000)))


def test_a_cut_just_after_a_version_lies_above_it_and_below_the_next() -> None:
    above = at_least(PLAN, *atoms.cut_after(VersionLiteral("1.2")))
    table = ScaleTable(Reading.VERSION, (), {}, {}).with_atoms([above])
    assert [truth(above, table.place(text, NOW)) for text in ("1.2", "v1.2.0", "1.2.0.1", "1.10", "x")] == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("value", "holding"),
    [
        ("PRO", {PRO, HAS_RO}),
        ("protein", {HAS_RO}),
        (["protein", "Pro"], {PRO}),
        (["ro"], {HAS_RO}),
        (5, {FIVE, NUMERIC}),
        ("5.0", {FIVE, NUMERIC}),
        (["5"], {FIVE}),
        (True, set()),
        (None, set()),
    ],
)
def test_a_value_is_placed_by_all_that_it_equals_and_contains(value: Value | None, holding: set[object]) -> None:
    assert place(PLANS, value) == holding
    assert place(PLANS, value) == holding, "the second time from memory"


VALUES: list[Value | None] = [
    None, 4, 5, 9.99, 10, 10**17, -(10**17), True, "pro", "PRO", "basic", "11", ["pro", 5], [5, True], [],
    NOW, int(NOW) - 7_000, "2026-05-01", "1.2", 0, -1, False, 1e300, EPOCH_MS_MAX, EPOCH_MS_MAX + 1, 10**11 - 1, 10**11,
]  # fmt: skip
READABLE = [readable(PLAN, frozenset({reading}), lists=False) for reading in Reading if reading is not Reading.AGE]
TABLES: dict[str, Table] = {
    "number": SCORES,
    "match": PLANS,
    "readability": MatchTable({}, (), ()).with_atoms(READABLE),
    "age": ScaleTable(Reading.AGE, (), {}, {}).with_atoms([at_least(SEEN_AT, Reading.AGE, 7_000)]),
    "instant": ScaleTable(Reading.INSTANT, (), {}, {}).with_atoms([below(SEEN_AT, Reading.INSTANT, int(NOW))]),
    "version": ScaleTable(Reading.VERSION, (), {}, {}).with_atoms(
        [at_least(PLAN, *atoms.cut_after(VersionLiteral("1.1")))]
    ),
    "presence": PresenceTable(present(PLAN)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_step_is_the_two_places_or_nothing_where_they_are_the_same(name: str) -> None:
    table = TABLES[name]
    for old, new in product(VALUES, VALUES):
        was, will = table.place(old, NOW), table.place(new, NOW)
        assert table.step(old, new, NOW) == (None if was == will else (was, will)), (old, new)


def test_readability_is_what_each_reading_says_of_the_value() -> None:
    for value in VALUES:
        holding = {atom for atom in READABLE if atoms.holds(atom, value, NOW)}
        assert place(TABLES["readability"], value) == holding, value


def test_an_element_that_is_no_text_is_folded_as_it_reads_and_is_no_key_of_the_memory() -> None:
    elements: list[Any] = [1, True, 1.0, "TRUE", 2.5, 10**400]
    assert [FOLDED_ELEMENTS[element] for element in elements] == ["1", "true", "1", "true", "2.5", None]
    assert {1, 2.5}.isdisjoint(FOLDED_ELEMENTS)


def test_atoms_that_are_gone_no_longer_place_a_value() -> None:
    left = PLANS.without_atoms([PRO, NUMERIC])
    assert place(left, "pro") == {HAS_RO}
    assert place(left, 5) == {FIVE}
    assert place(PLANS, "pro") == {PRO, HAS_RO}


def test_a_scale_made_atom_by_atom_has_each_cut_once_and_in_order() -> None:
    table = ScaleTable(Reading.NUMBER, (), {}, {})
    for atom in (FROM_10, FROM_5, UNDER_10):
        table = table.with_atoms([atom])
    assert table.cuts == SCORES.cuts == (5.0, 10.0)
    assert table.without_atoms([FROM_10]).cuts == (5.0, 10.0)
    assert table.without_atoms([FROM_10, UNDER_10]).cuts == (5.0,)


class LookedUp(float):
    """A cut that counts how often a table looks it up."""

    times = 0

    def __hash__(self) -> int:
        self.times += 1
        return super().__hash__()


def test_another_cut_looks_up_none_of_those_that_are_there() -> None:
    """Thousands of segments on one number come one by one."""
    cuts = [LookedUp(number) for number in range(100)]
    table = ScaleTable(Reading.NUMBER, (), {}, {}).with_atoms([at_least(SCORE, Reading.NUMBER, cut) for cut in cuts])
    before = [cut.times for cut in cuts]
    assert table.with_atoms([UNDER_10, at_least(SCORE, Reading.NUMBER, 10.5)]).cuts[9:13] == (9, 10, 10.5, 11)
    assert [cut.times for cut in cuts] == before


def test_a_memory_never_holds_more_than_its_limit_nor_long_texts() -> None:
    memory: Remembered[int] = Remembered(len)
    long = "x" * (REMEMBERED_CHARS_MAX + 1)
    assert memory[long] == len(long)
    assert long not in memory
    for number in range(PLACES_MAX + 10):
        assert place(PLANS, f"value {number}") == frozenset()
    assert place(PLANS, "Pro") == {PRO, HAS_RO}
