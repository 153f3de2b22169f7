"""How values are read, one reader at a time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.model import InstantMs, Value
from segmentation.values import (
    INSTANT_MAX_MS,
    INSTANT_MIN_MS,
    fold,
    iso_text,
    number_text,
    read_boolean,
    read_instant,
    read_number,
    read_text,
    read_version,
    version_key,
)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (5, 5.0),
        (5.5, 5.5),
        ("5", 5.0),
        ("-0.5e3", -500.0),
        ("05", None),
        (" 5", None),
        ("5.", None),
        (".5", None),
        ("+5", None),
        ("1e999", None),
        ("NaN", None),
        ("Infinity", None),
        ("\u0665", None),
        (True, None),
        ([5], None),
        (None, None),
        ("", None),
        (10**400, None),
        ("9" * 500, None),
    ],
)
def test_a_number_is_a_number_or_text_that_is_wholly_one(value: Value | None, read: float | None) -> None:
    assert read_number(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("a", "a"),
        (5, "5"),
        (5.0, "5"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-7, "1e-7"),
        (1.5e-6, "0.0000015"),
        (-0.0, "0"),
        (True, "true"),
        (False, "false"),
        ([1], None),
        (None, None),
        (10**400, None),
    ],
)
def test_text_is_text_or_the_shortest_spelling(value: Value | None, read: str | None) -> None:
    assert read_text(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, True),
        (False, False),
        ("TRUE", True),
        ("fAlse", False),
        ("fal\u017fe", None),
        (1, None),
        ("1", None),
        ("yes", None),
        ([True], None),
        (None, None),
    ],
)
def test_a_boolean_is_a_boolean_or_its_word(value: Value | None, read: bool | None) -> None:
    assert read_boolean(value) is read


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01t00:00:01z", 1_000),
        ("1970-01-01 01:00+01", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("19700101T000001Z", 1_000),
        ("1970-01-01T01", 3_600_000),
        (0, 0),
        (1.0004, 1_000),
        (1.0006, 1_001),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (-99_999, -99_999_000),
        ("1790000000", 1_790_000_000_000),
        ("1790000000.5", 1_790_000_000_500),
        (1_790_000_000.123, 1_790_000_000_123),
    ],
)
def test_instants_in_every_spelling(value: Value, at: int) -> None:
    assert read_instant(value) == at


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-29",
        "2026-13-01",
        "2026-01-32",
        "0000-01-01",
        "2026-01-01T24:00",
        "2026-01-01T23:60",
        "2026-01-01T23:59:60",
        "2026-01-01T12:00+24:00",
        "2026-01-01T12:00Europe/Oslo",
        "2026-1-1",
        "01/02/2026",
        "2026-01-01T",
        "today",
        "",
        True,
        None,
        ["2026-01-01"],
        1_790_000_000_000_000,
        -1e18,
        "\u0662\u0660\u0662\u0666-01-01",
        float("inf"),
        "2026-W01-1",
    ],
)
def test_what_is_no_instant_is_unreadable(value: Value | None) -> None:
    assert read_instant(value) is None


def test_versions_in_ascending_order() -> None:
    ascending = [
        "0",
        "0.0.0.1",
        "1-alpha",
        "1-alpha.1",
        "1-alpha.beta",
        "1-beta",
        "1-beta.2",
        "1-beta.11",
        "1-rc.1",
        "1.0.0",
        "1.0.0.1",
        "1.2",
        "1.10",
        "2.0-0",
        "v2",
    ]
    keys = [version_key(text) for text in ascending]
    assert None not in keys
    assert keys == sorted(keys)  # type: ignore[type-var]  # none of them is None, as asserted
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "text", ["", "v", "1.", ".1", "1.2.3.4.5", "1-", "1-01", "1+", "a", "1.2.x", " 1", "1_0", "\u0662", "1" * 300]
)
def test_what_is_no_version_is_unreadable(text: str) -> None:
    assert version_key(text) is None


def test_a_number_is_no_version() -> None:
    assert read_version(2.1) is None


@pytest.mark.parametrize(("one", "other"), [("é", "e\u0301"), ("STRASSE", "straße"), ("ΣΑΣ", "σας"), ("\ufb01", "FI")])
def test_texts_that_differ_in_case_or_composition_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_shortest_spelling_reads_back_as_the_number(number: float) -> None:
    text = number_text(number)
    assert read_number(text) == number
    assert float(json.loads(text)) == number
    assert len(text) <= max(len(repr(number)), 25)


@given(st.integers(INSTANT_MIN_MS, INSTANT_MAX_MS))
def test_an_instant_reads_back_from_its_text(at: int) -> None:
    assert read_instant(iso_text(InstantMs(at))) == at


def test_instants_beyond_year_9999_are_shown_as_milliseconds() -> None:
    assert iso_text(InstantMs(INSTANT_MAX_MS + 1)) == str(INSTANT_MAX_MS + 1)
