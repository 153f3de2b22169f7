"""Each rule by which a request becomes records or rejections, as a row; and that nothing else can happen."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import ContactDelete, ContactWrite, decode_input
from schemas.contact_change import ContactChangeRecord
from schemas.limits import CONTACT_BYTES_MAX, CONTACT_ID_BYTES_MAX, MESSAGE_ID_CHARACTERS_MAX
from segmentation.errors import Rejection
from segmentation.flatten import ATTRIBUTES_MAX
from services.ingest.admission import (
    BATCH_CONTACTS_MAX,
    Admitted,
    Origin,
    Refused,
    admit_delete,
    admit_patch,
    admit_post,
    parse_rfc3339,
)

ORIGIN = Origin("api", "req_1")


def record(item: object) -> ContactChangeRecord:
    assert isinstance(item, Admitted), item
    return ContactChangeRecord.decode(item.value)


def faults(items: object) -> list[tuple[str, str | None]]:
    rejection = items
    if isinstance(items, list):
        (only,) = items
        assert isinstance(only, Refused), only
        rejection = only.rejection
    assert isinstance(rejection, Rejection), rejection
    return [(problem.code, problem.pointer) for problem in rejection.problems]


def one(body: Any) -> Any:
    items = admit_post(body, ORIGIN)
    assert isinstance(items, list), items
    return items[0]


def test_a_contact_becomes_the_record_that_the_contract_shows() -> None:
    item = one(
        {
            "id": "u_17",
            "attributes": {"plan": "pro", "phone": None, "address": {"city": "Oslo"}},
            "timestamp": "2026-09-21T14:13:20Z",
            "message_id": "m-1",
        }
    )
    assert orjson.loads(item.value) == {
        "contact_id": "u_17",
        "attributes": {"plan": "pro", "phone": None, "address.city": "Oslo"},
        "occurred_at": 1790000000000,
        "message_id": "m-1",
        "source": {"kind": "api", "ref": "req_1"},
    }


def test_message_ids_that_nobody_gave_follow_from_the_request_and_the_place_in_it() -> None:
    items = admit_post({"contacts": [{"id": "a", "attributes": {}}, {"id": "b", "attributes": {}}]}, ORIGIN)
    assert isinstance(items, list)
    assert [record(item).message_id for item in items] == ["req_1-0", "req_1-1"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, [("expects_object", "")]),
        ([], [("expects_object", "")]),
        ("u", [("expects_object", "")]),
        ({}, [("missing_id", "/id")]),
        ({"id": None, "attributes": {}}, [("missing_id", "/id")]),
        ({"id": 17, "attributes": {}}, [("invalid_id", "/id")]),
        ({"id": "", "attributes": {}}, [("invalid_id", "/id")]),
        ({"id": "x" * (CONTACT_ID_BYTES_MAX + 1), "attributes": {}}, [("invalid_id", "/id")]),
        ({"id": "é" * CONTACT_ID_BYTES_MAX, "attributes": {}}, [("invalid_id", "/id")]),
        ({"id": "u"}, [("missing_attributes", "/attributes")]),
        ({"id": "u", "attributes": None}, [("expects_object", "/attributes")]),
        ({"id": "u", "attributes": {"a": [None]}}, [("nested_in_list", "/attributes/a/0")]),
        ({"id": "u", "plan": "pro"}, [("unknown_field", "/plan"), ("missing_attributes", "/attributes")]),
        ({"id": "u", "attributes": {}, "a/b": 1}, [("unknown_field", "/a~1b")]),
        ({"id": "u", "attributes": {}, "timestamp": "yesterday"}, [("invalid_timestamp", "/timestamp")]),
        ({"id": "u", "attributes": {}, "timestamp": 17}, [("invalid_timestamp", "/timestamp")]),
        ({"id": "u", "attributes": {}, "message_id": ""}, [("invalid_message_id", "/message_id")]),
        (
            {"id": "u", "attributes": {}, "message_id": "m" * (MESSAGE_ID_CHARACTERS_MAX + 1)},
            [("invalid_message_id", "/message_id")],
        ),
        ({"id": "u", "attributes": {"a": "x" * CONTACT_BYTES_MAX}}, [("contact_too_large", "")]),
        (
            {"id": "u", "attributes": {f"a{n}": 0 for n in range(ATTRIBUTES_MAX + 1)}},
            [("too_many_attributes", f"/attributes/a{ATTRIBUTES_MAX}")],
        ),
        ({"contacts": []}, [("batch_size", "/contacts")]),
        ({"contacts": {}}, [("batch_size", "/contacts")]),
        ({"contacts": [{}] * (BATCH_CONTACTS_MAX + 1)}, [("batch_size", "/contacts")]),
        ({"contacts": [{"id": "u", "attributes": {}}], "id": "u"}, [("unknown_field", "/id")]),
        ({"contacts": [5]}, [("expects_object", "/contacts/0")]),
        ({"contacts": [{"id": "u", "attributes": {"": 1}}]}, [("empty_name", "/contacts/0/attributes/")]),
    ],
)
def test_each_fault_of_a_post_is_named_and_pointed_at(body: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(admit_post(body, ORIGIN)) == expected


@pytest.mark.parametrize(
    ("contact_id", "body", "expected"),
    [
        ("", {"attributes": {}}, [("invalid_id", "/id")]),
        ("u", [], [("expects_object", "")]),
        ("u", {}, [("missing_attributes", "/attributes")]),
        ("u", {"id": "v", "attributes": {}}, [("id_mismatch", "/id")]),
    ],
)
def test_each_fault_of_a_patch_is_named_and_pointed_at(
    contact_id: str, body: Any, expected: list[tuple[str, str]]
) -> None:
    item = admit_patch(contact_id, body, ORIGIN)
    assert isinstance(item, Refused)
    assert faults(item.rejection) == expected


def test_a_patch_may_repeat_the_id_of_its_path() -> None:
    assert record(admit_patch("u", {"id": "u", "attributes": {"a": 1}}, ORIGIN)).attributes == {"a": 1}


def test_an_erasure_is_a_delete_for_the_evaluator() -> None:
    item = admit_delete("u", ORIGIN)
    assert isinstance(item, Admitted)
    assert isinstance(decode_input(b"u", item.value, ()), ContactDelete)


def test_one_contact_at_fault_leaves_its_neighbours_alone() -> None:
    items = admit_post({"contacts": [{"id": "a", "attributes": {}}, {}, {"id": "c", "attributes": {}}]}, ORIGIN)
    assert isinstance(items, list)
    assert [type(item) for item in items] == [Admitted, Refused, Admitted]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.001z", 1),
        ("2026-05-01T12:00:00+02:00", 1777629600000),
        ("2026-05-01T12:00:00.123456789Z", 1777636800123),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-05-01", None),
        ("2026-05-01T12:00:00", None),
        ("2026-02-30T12:00:00Z", None),
        ("2026-05-01T24:00:01Z", None),
        ("1777629600000", None),
        ("2026-05-01T12:00:00Z\n", None),
    ],
)
def test_timestamps_are_rfc_3339_and_nothing_else(text: str, instant: int | None) -> None:
    assert parse_rfc3339(text) == instant


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "attributes", "contacts", "timestamp", "a", "b.c", ""]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_whatever_is_admitted_is_read_by_the_evaluator_as_it_was_meant(body: Any) -> None:
    items = admit_post(body, ORIGIN)
    if isinstance(items, Rejection):
        assert items.problems
        return
    for item in items:
        if isinstance(item, Refused):
            assert item.rejection.problems
        else:
            decoded = decode_input(item.contact_id.encode(), item.value, ())
            assert isinstance(decoded, ContactWrite), decoded


def test_a_number_beyond_64_bits_is_rounded_as_every_number_is() -> None:
    assert record(one({"id": "u", "attributes": {"n": 10**30, "m": -(10**30)}})).attributes == {"n": 1e30, "m": -1e30}


@given(st.text(min_size=1, max_size=5), JSON_VALUES)
def test_a_rejection_never_repeats_an_attribute_value(canary: str, value: Any) -> None:
    secret = f"canary-{canary}-4111"
    items = admit_post(
        {"id": "u", "attributes": {"card": [secret, value, [secret]], "x": {"y": [{"z": secret}]}}}, ORIGIN
    )
    assert isinstance(items, list)
    (item,) = items
    assert isinstance(item, Refused)
    assert secret not in str(item.rejection.to_json())
