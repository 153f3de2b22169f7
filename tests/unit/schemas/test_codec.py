"""The hot decoder takes and refuses exactly what the record model does, and says why."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.codec import (
    ContactDelete,
    ContactWrite,
    Malformed,
    SegmentDefined,
    Tick,
    decode_contact,
    decode_input,
    encode_contact,
    encode_membership_change,
)
from schemas.contact_change import ContactChangeRecord
from schemas.contact_row import ContactRow
from schemas.events import SEGMENT_DEFINED_HEADERS, TICK_HEADERS
from schemas.limits import ATTRIBUTES_MAX, CONTACT_BYTES_MAX, CONTACT_ID_BYTES_MAX
from schemas.membership_change import MembershipChangeRecord, membership_key
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.tick import TickRecord
from segmentation.model import (
    AttributeName,
    CatalogueSeq,
    CauseKind,
    Change,
    ChangeKind,
    ContactId,
    ContactState,
    InstantMs,
    Offset,
    Position,
    SegmentId,
    SegmentState,
    Version,
)

SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
ODD = st.one_of(SCALARS, st.none(), st.lists(SCALARS, max_size=3), st.lists(st.none(), max_size=2), st.just({"a": 1}))
NAMES = st.one_of(st.sampled_from(["plan", "a.b", "", "x" * 256, "x" * 257, "näme"]), st.text(max_size=3))
ATTRIBUTES = st.one_of(st.dictionaries(NAMES.filter(lambda n: n.isprintable()), ODD, max_size=4), ODD)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "attributes": ATTRIBUTES,
        "contact_id": st.one_of(st.just("u_17"), st.just(17), st.none()),
        "type": st.sampled_from(["change", "delete", "merge", None, 3]),
        "occurred_at": st.one_of(st.integers(0, 10), st.just(1.5), st.just(True), st.none(), st.just("now")),
        "message_id": st.one_of(st.none(), st.just("m"), st.just("m" * 257), st.just(4)),
        "source": st.one_of(
            st.none(),
            st.just({"kind": "api", "ref": "r"}),
            st.just({"kind": "api"}),
            st.just({"ref": "r"}),
            st.just({"kind": None}),
            st.just("api"),
            st.just({"kind": "k" * 257}),
        ),
        "grown_later": ODD,
    },
)


@settings(max_examples=600)
@given(RECORDS)
def test_the_decoder_and_the_model_agree_on_every_record(record: dict[str, Any]) -> None:
    decoded = decode_input(b"u_17", orjson.dumps(record), ())
    try:
        model = ContactChangeRecord.model_validate(record)
    except ValidationError:
        assert isinstance(decoded, Malformed)
        return
    if model.type == "delete":
        assert decoded == ContactDelete(ContactId("u_17"))
    else:
        assert decoded == ContactWrite(ContactId("u_17"), model.attributes or {})


@given(st.binary(max_size=60), st.binary(max_size=60) | st.none(), st.sampled_from([b"tick", b"segment.defined", b"?"]))
def test_no_bytes_make_the_decoder_raise(key: bytes, value: bytes | None, kind: bytes) -> None:
    decode_input(key, value, [("ce_type", kind)])
    decode_input(key, value, ())


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (None, b'{"attributes":{}}', "no_key"),
        (b"", b'{"attributes":{}}', "no_key"),
        (b"\xff", b'{"attributes":{}}', "key_not_utf8"),
        (b"x" * (CONTACT_ID_BYTES_MAX + 1), b'{"attributes":{}}', "key_too_long"),
        (b"u", b"{", "invalid_json"),
        (b"u", b"", "invalid_json"),
        (b"u", b'{"attributes":{"a":NaN}}', "invalid_json"),
        (b"u", b'{"attributes":{"a":1e999}}', "invalid_json"),
        (b"u", b'{"attributes":{"a":"\xff"}}', "invalid_json"),
        (b"u", b"[" * 5000, "too_deep"),
        (b"u", b'{"attributes":{"a":' + b"[" * 17 + b"]" * 17 + b"}}", "too_deep"),
        (b"u", b'{"attributes":{"a":1,"a":2}}', "duplicate_key"),
        (b"u", b'{"attributes":{"a":"\\u003a","a":":"}}', "duplicate_key"),
        (b"u", b'{"attributes":{},"attributes":{}}', "duplicate_key"),
        (b"u", b"[]", "not_an_object"),
        (b"u", b"{}", "no_attributes"),
        (b"u", b'{"attributes":[]}', "no_attributes"),
        (b"u", b'{"type":"delete","attributes":{"a":1}}', "delete_with_attributes"),
        (b"u", b'{"type":"merge","attributes":{}}', "unknown_change_type"),
        (b"u", b'{"contact_id":"v","attributes":{}}', "contact_id_mismatch"),
        (b"u", b'{"attributes":{"a":{"b":1}}}', "nested_object"),
        (b"u", b'{"attributes":{"a":[[1]]}}', "invalid_list"),
        (b"u", b'{"attributes":{"":1}}', "invalid_attribute_name"),
        (b"u", b'{"attributes":{"a":"' + b"x" * CONTACT_BYTES_MAX + b'"}}', "too_large"),
        (
            b"u",
            orjson.dumps({"attributes": {f"a{n}": n for n in range(ATTRIBUTES_MAX + 1)}}),
            "too_many_attributes",
        ),
    ],
)
def test_a_malformed_record_is_named_by_its_fault(key: bytes | None, value: bytes, code: str) -> None:
    decoded = decode_input(key, value, ())
    assert isinstance(decoded, Malformed)
    assert decoded.code == code


def test_a_refusal_never_repeats_an_attribute_value() -> None:
    decoded = decode_input(b"u", b'{"attributes":{"a":[{"card":"4111-canary"}]}}', ())
    assert isinstance(decoded, Malformed)
    assert "canary" not in decoded.message


def test_text_with_colons_and_escapes_is_not_mistaken_for_a_repeated_key() -> None:
    decoded = decode_input(b"u", b'{"attributes" : {"at": "10:00:01", "b:c": "\\u003a \\u00e9"}}', ())
    assert decoded == ContactWrite(ContactId("u"), {AttributeName("at"): "10:00:01", AttributeName("b:c"): ": é"})


def test_a_tombstone_erases_the_contact() -> None:
    assert decode_input(b"u", None, ()) == ContactDelete(ContactId("u"))


def test_ticks_and_definitions_are_told_apart_by_their_header() -> None:
    definition = SegmentDefinitionRecord(
        segment_id=SegmentId("pro"),
        version=2,
        replaces=1,
        state=SegmentState.PAUSED,
        name="Pro",
        where={"plan": {"is": "pro"}},
        text='plan is "pro"',
    )
    assert decode_input(None, TickRecord(scheduled_at=InstantMs(5), interval_ms=1).encode(), TICK_HEADERS) == Tick(
        InstantMs(5)
    )
    assert decode_input(None, definition.encode(), SEGMENT_DEFINED_HEADERS) == SegmentDefined(definition)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("ce_type", b"contact.merged")], "unknown_type"),
        ([("ce_specversion", b"2.0")], "unknown_version"),
        ([("ce_type", b"tick")], "no_value"),
    ],
)
def test_a_header_that_we_do_not_know_is_refused(headers: list[tuple[str, bytes]], code: str) -> None:
    decoded = decode_input(b"u", None, headers)
    assert isinstance(decoded, Malformed)
    assert decoded.code == code


def test_a_membership_change_is_written_as_its_model_says() -> None:
    change = Change(
        SegmentId("active_pro_users"),
        3,
        ContactId('u|"17"'),
        ChangeKind.ENTER,
        Version(InstantMs(1790000000123), Offset(8812)),
        CauseKind.WRITE,
        0,
        2,
    )
    key, value, headers = encode_membership_change(change, 5)
    record = MembershipChangeRecord.decode(value)
    assert record.encode() == value
    assert record.event_id == 'active_pro_users|u|"17"|1790000000123|8812'
    assert key == membership_key(change.segment_id, change.contact_id) == b'active_pro_users|u|"17"'
    assert dict(headers) == {
        "ce_type": b"membership.changed",
        "ce_specversion": b"1.0",
        "ce_source": b"/tidegate/evaluator",
        "ce_id": record.event_id.encode(),
    }


@given(
    st.dictionaries(st.sampled_from(["a", "b.c"]).map(AttributeName), SCALARS | st.lists(SCALARS, max_size=2)),
    st.sets(st.sampled_from(["s1", "s2", "s3"]).map(SegmentId)),
    st.none() | st.integers(0, 2**53).map(InstantMs),
)
def test_a_contact_row_survives_its_round_trip_and_fits_the_model(
    attributes: dict[AttributeName, Any], left: set[SegmentId], due: InstantMs | None
) -> None:
    state = ContactState(
        attributes,
        {SegmentId("in"): InstantMs(7)},
        left,
        Position(InstantMs(9), Offset(8), CatalogueSeq(2)),
        due,
    )
    value = encode_contact(state)
    assert decode_contact(value) == state
    assert ContactRow.decode(value).encode() == value
