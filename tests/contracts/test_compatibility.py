"""Planted changes: those that break somebody are found, those that do not are let through."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas.generate import asyncapi
from tests.contracts.compatibility import Side, api_breaks, record_breaks, schema_breaks, topic_breaks

Json = dict[str, Any]

RECORD: Json = {
    "$defs": {
        "Kind": {"type": "string", "enum": ["write", "time"]},
        "Cause": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"$ref": "#/$defs/Kind"}, "index": {"type": "integer", "minimum": 0}},
        },
    },
    "type": "object",
    "required": ["id", "at"],
    "properties": {
        "id": {"type": "string", "maxLength": 100, "pattern": "^[a-z]+$"},
        "at": {"type": "integer"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "cause": {"$ref": "#/$defs/Cause"},
        "values": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
    },
}
Change = Callable[[Json], None]


def _properties(record: Json) -> Json:
    found: Json = record["properties"]
    return found


def drop_field(record: Json) -> None:
    del _properties(record)["note"]


def rename_field(record: Json) -> None:
    _properties(record)["remark"] = _properties(record).pop("note")


def retype_field(record: Json) -> None:
    _properties(record)["at"] = {"type": "string"}


def require_new_field(record: Json) -> None:
    _properties(record)["source"] = {"type": "string"}
    record["required"].append("source")


def add_optional_field(record: Json) -> None:
    _properties(record)["source"] = {"type": ["string", "null"], "default": None}


def require_old_field(record: Json) -> None:
    record["required"].append("note")


def no_longer_require(record: Json) -> None:
    record["required"].remove("at")


def widen_enum(record: Json) -> None:
    record["$defs"]["Kind"]["enum"].append("delete")


def narrow_enum(record: Json) -> None:
    record["$defs"]["Kind"]["enum"].remove("time")


def allow_null(record: Json) -> None:
    _properties(record)["at"] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def refuse_null(record: Json) -> None:
    _properties(record)["note"] = {"type": "string"}


def loosen_bound(record: Json) -> None:
    _properties(record)["id"]["maxLength"] = 200


def tighten_bound(record: Json) -> None:
    _properties(record)["tags"]["maxItems"] = 4


def change_pattern(record: Json) -> None:
    _properties(record)["id"]["pattern"] = "^[a-z0-9]+$"


def retype_elements(record: Json) -> None:
    _properties(record)["tags"]["items"] = {"type": "integer"}


def widen_values(record: Json) -> None:
    _properties(record)["values"]["additionalProperties"]["type"].append("boolean")


def allow_short_lists(record: Json) -> None:
    values = _properties(record)["values"]["additionalProperties"]
    values["type"].append("array")
    values["maxItems"] = 5


def narrow_values(record: Json) -> None:
    _properties(record)["values"]["additionalProperties"]["type"].remove("integer")


def close(record: Json) -> None:
    record["additionalProperties"] = False


def reword(record: Json) -> None:
    record["description"], _properties(record)["at"]["title"] = "Other words.", "At"


def inline(record: Json) -> None:
    """Says the same with other means."""
    _properties(record)["note"] = {"type": ["null", "string"]}
    record["$defs"]["Reason"] = record["$defs"].pop("Kind")
    record["$defs"]["Cause"]["properties"]["kind"] = {"allOf": [{"$ref": "#/$defs/Reason"}]}


def integer_to_number(record: Json) -> None:
    _properties(record)["at"] = {"type": "number"}


def unknown_keyword(record: Json) -> None:
    record["dependentRequired"] = {"note": ["at"]}


BREAKS_WRITERS: list[Change] = [
    drop_field, rename_field, retype_field, require_new_field, require_old_field, narrow_enum, refuse_null,
    tighten_bound, change_pattern, retype_elements, narrow_values, close, unknown_keyword,
]  # fmt: skip
BREAKS_READERS: list[Change] = [
    drop_field, rename_field, retype_field, no_longer_require, widen_enum, allow_null, loosen_bound, change_pattern,
    retype_elements, widen_values, integer_to_number, unknown_keyword,
]  # fmt: skip
FREE_FOR_WRITERS: list[Change] = [
    add_optional_field, no_longer_require, widen_enum, allow_null, loosen_bound, widen_values, reword, inline,
    allow_short_lists, integer_to_number,
]  # fmt: skip
FREE_FOR_READERS: list[Change] = [
    add_optional_field, require_new_field, require_old_field, narrow_enum, refuse_null, tighten_bound, narrow_values,
    reword, inline,
]  # fmt: skip


def changed(change: Change) -> Json:
    record = copy.deepcopy(RECORD)
    change(record)
    return record


@pytest.mark.parametrize("change", BREAKS_WRITERS)
def test_a_change_that_refuses_or_loses_what_others_write_is_found(change: Change) -> None:
    assert schema_breaks(RECORD, changed(change), Side.WRITES) != []


@pytest.mark.parametrize("change", BREAKS_READERS)
def test_a_change_that_others_cannot_read_is_found(change: Change) -> None:
    assert schema_breaks(RECORD, changed(change), Side.READS) != []


@pytest.mark.parametrize("change", FREE_FOR_WRITERS)
def test_a_change_that_every_writer_survives_is_let_through(change: Change) -> None:
    assert schema_breaks(RECORD, changed(change), Side.WRITES) == []


@pytest.mark.parametrize("change", FREE_FOR_READERS)
def test_a_change_that_every_reader_survives_is_let_through(change: Change) -> None:
    assert schema_breaks(RECORD, changed(change), Side.READS) == []


def test_a_break_says_where_and_why() -> None:
    assert schema_breaks(RECORD, changed(narrow_enum), Side.WRITES) == [
        "/cause/kind: ['time'] is allowed on one side only"
    ]
    assert schema_breaks(RECORD, changed(drop_field), Side.READS) == ["/note: is gone"]


def test_the_record_that_others_read_is_judged_as_read_and_others_as_written() -> None:
    widened = changed(widen_enum)
    assert record_breaks({"membership_change_record": RECORD}, {"membership_change_record": widened}) != []
    assert record_breaks({"contact_change_record": RECORD}, {"contact_change_record": widened}) == []
    assert record_breaks({"clock_row": RECORD}, {}) == ["clock_row: the record is gone"]


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("channels", "memberships", "address"), "{prefix}changes", "its name was"),
        (("channels", "memberships", "x-partitioned"), "one partition", "its partitioning was"),
        (
            ("channels", "memberships", "bindings", "kafka", "topicConfiguration", "cleanup.policy"),
            ["delete"],
            "its cleanup was",
        ),
        (
            ("components", "messages", "memberships.MembershipChangeRecord", "bindings", "kafka", "key"),
            {},
            "its key was",
        ),
        (
            ("components", "messages", "contactChanges.TickRecord", "headers", "properties", "ce_type", "const"),
            "tock",
            "header/ce_type",
        ),
    ],
)
def test_a_topic_of_another_name_shape_key_or_kind_is_found(where: tuple[str, ...], value: Any, said: str) -> None:
    planted = asyncapi()
    node = planted
    for step in where[:-1]:
        node = node[step]
    node[where[-1]] = value
    (found,) = topic_breaks(asyncapi(), planted)
    assert said in found


def test_a_topic_or_record_that_is_gone_is_found_and_a_new_one_is_free() -> None:
    less = asyncapi()
    del less["channels"]["attributes"]
    del less["channels"]["contactChanges"]["messages"]["TickRecord"]
    assert topic_breaks(asyncapi(), less) == ["attributes: the topic is gone", "contactChanges: TickRecord is gone"]
    assert topic_breaks(less, asyncapi()) == []


def api() -> Json:
    answer = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    return {
        "paths": {
            "/contacts": {
                "post": {
                    "security": [{"key": ["contacts:write"]}],
                    "parameters": [{"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}}],
                    "requestBody": {
                        "required": False,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Contact"}}},
                    },
                    "responses": {
                        "202": {"content": {"application/json": {"schema": answer}}},
                        "422": {"content": {"application/problem+json": {"schema": {}}}},
                    },
                }
            }
        },
        "components": {
            "schemas": {"Contact": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}}
        },
    }


def _post(document: Json) -> Json:
    found: Json = document["paths"]["/contacts"]["post"]
    return found


def _answer(document: Json) -> Json:
    found: Json = _post(document)["responses"]["202"]["content"]["application/json"]["schema"]
    return found


API_BREAKS: list[tuple[str, Change]] = [
    ("is gone", lambda document: document["paths"].clear()),
    ("is gone", lambda document: document["paths"]["/contacts"].clear()),
    ("the scope was", lambda document: _post(document).update(security=[{"key": ["admin"]}])),
    ("query limit: is gone", lambda document: _post(document)["parameters"].clear()),
    (
        "header X: is required now",
        lambda document: _post(document)["parameters"].append(
            {"in": "header", "name": "X", "required": True, "schema": {}}
        ),
    ),
    ("query limit /: maximum", lambda document: _post(document)["parameters"][0]["schema"].update(maximum=50)),
    ("a body is required now", lambda document: _post(document)["requestBody"].update(required=True)),
    ("no longer taken as", lambda document: _post(document)["requestBody"]["content"].clear()),
    ("body /name", lambda document: document["components"]["schemas"]["Contact"]["required"].append("name")),
    ("the answer 202 is gone", lambda document: _post(document)["responses"].pop("202")),
    ("the answer 200 is new", lambda document: _post(document)["responses"].update({"200": {}})),
    ("no longer application/json", lambda document: _post(document)["responses"]["202"]["content"].clear()),
    (
        "answer 202 /id",
        lambda document: _post(document)["responses"]["202"]["content"]["application/json"]["schema"][
            "required"
        ].clear(),
    ),
]


@pytest.mark.parametrize(("said", "change"), API_BREAKS)
def test_a_breaking_change_of_the_http_api_is_found(said: str, change: Change) -> None:
    planted = api()
    change(planted)
    found = api_breaks(api(), planted)
    assert any(said in reason for reason in found), found


def test_an_api_that_grew_is_let_through() -> None:
    grown = api()
    grown["paths"]["/segments"] = {"get": {"responses": {"200": {}}}}
    _post(grown)["parameters"].append({"in": "query", "name": "after", "schema": {"type": "string"}})
    _post(grown)["responses"]["429"] = {}
    _answer(grown)["properties"]["message_id"] = {"type": "string"}
    grown["components"]["schemas"]["Contact"]["properties"]["note"] = {"type": "string"}
    assert api_breaks(api(), grown) == []
