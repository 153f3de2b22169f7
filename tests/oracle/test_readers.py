"""The product's readers of values against the oracle's, which were written apart from them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segmentation import values
from segmentation.model import Scalar
from tests.oracle import language

DIGITS_AND_SIGNS = st.text(alphabet="0123456789+-.eEvZTt:, ", max_size=26)
NEAR_INSTANTS = st.builds(
    lambda moment, shape, zone: moment.strftime(shape) + zone,
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - the zone is part of the text under test
    st.sampled_from(
        [
            "%Y-%m-%d",
            "%Y%m%d",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%dT%H:%M:%S.%f",
            "%Y%m%dT%H%M%S",
            "%Y-%m-%dT%H",
        ]
    ),
    st.sampled_from(["", "Z", "z", "+02:00", "-0530", "+14", "+24:00", "+2", " ", "UTC"]),
)
NEAR_VERSIONS = st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,2}){0,4}(-[0-9a-z.-]{1,6})?(\+[0-9a-z.]{1,4})?", fullmatch=True)
SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    DIGITS_AND_SIGNS,
    NEAR_INSTANTS,
    NEAR_VERSIONS,
    st.sampled_from(["true", "TRUE", "False", " true", "1e400", "-0", "2026-02-29", "2024-02-29", "0000-01-01"]),
)


@settings(max_examples=1500, deadline=None)
@given(SCALARS)
@example(1e11)
@example(99_999_999_999)
@example(-0.0)
@example(2.0**60)
@example(1e21)
@example(1.5e-7)
def test_both_readers_read_every_scalar_alike(value: Scalar) -> None:
    assert values.read_text(value) == language.read_text(value)
    assert values.read_number(value) == language.read_number(value)
    assert values.read_boolean(value) is language.read_boolean(value)
    assert values.read_instant(value) == language.read_instant(value)
    assert (values.read_version(value) is None) == (language.read_version(value) is None)


@settings(max_examples=500, deadline=None)
@given(NEAR_VERSIONS, NEAR_VERSIONS)
def test_both_readers_put_versions_in_the_same_order(left: str, right: str) -> None:
    ours, theirs = values.version_key(left), values.version_key(right)
    one, other = language.version_key(left), language.version_key(right)
    if ours is None or theirs is None or one is None or other is None:
        assert (ours is None, theirs is None) == (one is None, other is None)
        return
    assert (ours < theirs, ours == theirs) == (one < other, one == other)


@settings(max_examples=500, deadline=None)
@given(st.text(), st.text())
@example("STRASSE", "straße")
@example("cafe\u0301", "caf\u00e9")
def test_both_readers_fold_text_to_the_same_equality(left: str, right: str) -> None:
    assert (values.fold(left) == values.fold(right)) == (language.fold(left) == language.fold(right))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T12:00:00Z", datetime(2026, 5, 1, 12, tzinfo=UTC)),
        ("2026-05-01T12:00:00+02:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T12:00:00.1239", datetime(2026, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)),
        ("1777636800", datetime(2026, 5, 1, 12, tzinfo=UTC)),
        ("1777636800000", datetime(2026, 5, 1, 12, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_from_each_spelling(text: str, moment: datetime) -> None:
    assert language.read_instant(text) == int(moment.timestamp()) * 1000 + moment.microsecond // 1000


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0.0-alpha", "1.0.0-alpha.1"),
        ("1.0.0-alpha.1", "1.0.0-alpha.beta"),
        ("1.0.0-alpha.beta", "1.0.0-beta"),
        ("1.0.0-beta.2", "1.0.0-beta.11"),
        ("1.0.0-rc.1", "1.0.0"),
        ("2.9", "v2.10"),
        ("1.2.3", "1.2.3.1"),
    ],
)
def test_versions_are_ordered_as_semver_orders_them(lower: str, higher: str) -> None:
    low, high = language.version_key(lower), language.version_key(higher)
    assert low is not None
    assert high is not None
    assert low < high
