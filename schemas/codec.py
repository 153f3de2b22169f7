"""Between bytes and the core's words, on the hot path: input records in, membership changes and contact rows out.

Rule: `decode_input` accepts and refuses exactly what the record models do, never raises, and says why it refused; the
encoders are functions of their argument alone, so a recomputed record is the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, Final, NamedTuple, TypeVar, cast

import orjson
from pydantic import ValidationError

from schemas.contact_change import CONTACT_CHANGED
from schemas.events import (
    MEMBERSHIP_CHANGED_HEADERS,
    SPEC_VERSION,
    SPEC_VERSION_HEADER,
    TYPE_HEADER,
    Headers,
    identified,
)
from schemas.limits import (
    ATTRIBUTE_NAME_CHARACTERS_MAX,
    ATTRIBUTES_MAX,
    CONTACT_BYTES_MAX,
    CONTACT_ID_BYTES_MAX,
    LIST_ELEMENTS_MAX,
    MESSAGE_ID_CHARACTERS_MAX,
    SOURCE_CHARACTERS_MAX,
)
from schemas.record import Record
from schemas.segment_definition import SEGMENT_DEFINED, SegmentDefinitionRecord
from schemas.strict_json import JsonRefusedError, load_strictly
from schemas.tick import TICK, TickRecord
from segmentation.model import (
    UNKNOWN_BIRTH,
    AttributeChanges,
    Attributes,
    Change,
    ChangeKind,
    ContactId,
    ContactState,
    InstantMs,
    Position,
    SegmentId,
)

_CONTACT_CHANGED: Final = CONTACT_CHANGED.encode()
_TICK: Final = TICK.encode()
_SEGMENT_DEFINED: Final = SEGMENT_DEFINED.encode()

_PLAIN_TYPES: Final = frozenset({str, int, float, bool, type(None)})
_ELEMENT_TYPES: Final = frozenset({str, int, float, bool})


class ContactWrite(NamedTuple):
    """Set and remove attributes of a contact."""

    contact_id: ContactId
    attributes: AttributeChanges


class ContactDelete(NamedTuple):
    """Erase a contact."""

    contact_id: ContactId


class Tick(NamedTuple):
    """Time has passed. The instant is the broker's timestamp of the record."""

    scheduled_at: InstantMs


class SegmentDefined(NamedTuple):
    """A version of a segment takes effect here."""

    definition: SegmentDefinitionRecord


class Malformed(NamedTuple):
    """A record that no rule can evaluate. `message` never holds attribute values."""

    code: str
    message: str


InputRecord = ContactWrite | ContactDelete | Tick | SegmentDefined | Malformed


def decode_input(key: bytes | None, value: bytes | None, headers: Headers) -> InputRecord:
    """Read one record of `contact-changes`. Never raises.

    Cost: one JSON parse and one pass over the attributes.
    """
    kind = _CONTACT_CHANGED
    for name, content in headers:
        if name == TYPE_HEADER:
            kind = content
        elif name == SPEC_VERSION_HEADER and content != SPEC_VERSION:
            return Malformed("unknown_version", "header ce_specversion is not 1.0, the only version there is")
    if kind == _CONTACT_CHANGED:
        return _decode_contact_change(key, value)
    if kind == _TICK:
        tick = _decode_control(TickRecord, value)
        return tick if isinstance(tick, Malformed) else Tick(tick.scheduled_at)
    if kind == _SEGMENT_DEFINED:
        definition = _decode_control(SegmentDefinitionRecord, value)
        return definition if isinstance(definition, Malformed) else SegmentDefined(definition)
    expected = ", ".join((CONTACT_CHANGED, TICK, SEGMENT_DEFINED))
    return Malformed("unknown_type", f"header ce_type is none of {expected}")


_Control = TypeVar("_Control", bound=Record)


def _decode_control(model: type[_Control], value: bytes | None) -> _Control | Malformed:
    if value is None:
        return Malformed("no_value", f"a {model.__name__} needs a value")
    try:
        return model.decode(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        return Malformed("invalid_record", f"not a {model.__name__}: /{where}: {first['msg']}")


def _decode_contact_change(key: bytes | None, value: bytes | None) -> ContactWrite | ContactDelete | Malformed:
    contact_id = _decode_key(key)
    if isinstance(contact_id, Malformed):
        return contact_id
    if value is None:
        return ContactDelete(contact_id)
    if len(value) > CONTACT_BYTES_MAX:
        return Malformed("too_large", f"the value has {len(value)} bytes; at most {CONTACT_BYTES_MAX} are taken")
    try:
        record = load_strictly(value)
    except JsonRefusedError as error:
        return Malformed(error.code, error.message)
    if type(record) is not dict:
        return Malformed("not_an_object", "the value must be a JSON object with `attributes`")
    attributes = record.get("attributes")
    if len(record) > 1 or attributes is None:
        problem = _check_envelope(contact_id, record)
        if problem is not None:
            return problem
        if record.get("type") == "delete":
            if attributes:
                return Malformed("delete_with_attributes", "a delete carries no attributes")
            if attributes is None or type(attributes) is dict:
                return ContactDelete(contact_id)
    if type(attributes) is not dict:
        return Malformed("no_attributes", "`attributes` must be an object; it may be empty")
    problem = _check_attributes(attributes)
    return problem if problem is not None else ContactWrite(contact_id, attributes)


def _decode_key(key: bytes | None) -> ContactId | Malformed:
    if not key:
        return Malformed("no_key", "the record key must be the contact id")
    if len(key) > CONTACT_ID_BYTES_MAX:
        return Malformed("key_too_long", f"a contact id has at most {CONTACT_ID_BYTES_MAX} bytes; this has {len(key)}")
    try:
        return ContactId(key.decode())
    except UnicodeDecodeError:
        return Malformed("key_not_utf8", "the record key, the contact id, is not valid UTF-8")


def _check_envelope(contact_id: ContactId, record: dict[str, object]) -> Malformed | None:
    """Everything but the attributes."""
    kind = record.get("type", "change")
    if kind not in ("change", "delete"):
        return Malformed("unknown_change_type", "`type` must be `change` (the default) or `delete`")
    named = record.get("contact_id")
    if named is not None and named != contact_id:
        return Malformed("contact_id_mismatch", "`contact_id` must equal the record key, or be left out")
    occurred_at = record.get("occurred_at")
    if occurred_at is not None and type(occurred_at) is not int:
        return Malformed("invalid_occurred_at", "`occurred_at` must be whole epoch milliseconds")
    if not _is_text_or_none(record.get("message_id"), MESSAGE_ID_CHARACTERS_MAX):
        return Malformed("invalid_message_id", f"`message_id` must be text of at most {MESSAGE_ID_CHARACTERS_MAX}")
    source = record.get("source")
    if source is not None and not _is_source(source):
        return Malformed("invalid_source", '`source` must be an object such as {"kind": "api", "ref": "…"}')
    return None


def _is_text_or_none(value: object, characters_max: int) -> bool:
    return value is None or (type(value) is str and len(value) <= characters_max)


def _is_source(source: object) -> bool:
    if type(source) is not dict or source.get("kind") is None:
        return False
    return _is_text_or_none(source["kind"], SOURCE_CHARACTERS_MAX) and _is_text_or_none(
        source.get("ref"), SOURCE_CHARACTERS_MAX
    )


def _check_attributes(attributes: dict[str, object]) -> Malformed | None:
    """Check names and values, and have equal texts be one object: see `decode_kept_contact`."""
    if len(attributes) > ATTRIBUTES_MAX:
        return Malformed("too_many_attributes", f"{len(attributes)} attributes; at most {ATTRIBUTES_MAX} are taken")
    for name, value in attributes.items():
        if type(value) is str:
            attributes[name] = intern(value)
        elif type(value) not in _PLAIN_TYPES:
            problem = _check_list(name, value)
            if problem is not None:
                return problem
            attributes[name] = _shared(cast("list[object]", value))
        if not 0 < len(name) <= ATTRIBUTE_NAME_CHARACTERS_MAX:
            return Malformed(
                "invalid_attribute_name",
                f"an attribute name has 1 to {ATTRIBUTE_NAME_CHARACTERS_MAX} characters; one has {len(name)}",
            )
    return None


def _check_list(name: str, value: object) -> Malformed | None:
    if type(value) is not list:
        return Malformed("nested_object", f"attribute {name!r} holds an object; write dotted names instead")
    if len(value) > LIST_ELEMENTS_MAX:
        return Malformed("list_too_long", f"attribute {name!r}: a list has at most {LIST_ELEMENTS_MAX} elements")
    if not _ELEMENT_TYPES.issuperset(map(type, value)):
        return Malformed("invalid_list", f"attribute {name!r}: a list holds only text, numbers and booleans")
    return None


class ChangeOrigin(NamedTuple):
    """Where a contact change came from, for people. Goes into the record, and takes no part in evaluation."""

    kind: str
    ref: str
    message_id: str
    occurred_at: InstantMs | None = None


def encode_contact_change(contact_id: ContactId, attributes: AttributeChanges, origin: ChangeOrigin) -> bytes:
    """The value of a `contact.changed` record that sets and removes attributes; its key is the contact id."""
    return orjson.dumps(
        {
            "contact_id": contact_id,
            "attributes": attributes,
            "occurred_at": origin.occurred_at,
            "message_id": origin.message_id,
            "source": {"kind": origin.kind, "ref": origin.ref},
        }
    )


def encode_contact_delete(contact_id: ContactId, origin: ChangeOrigin) -> bytes:
    """The value of a `contact.changed` record that erases a contact."""
    return orjson.dumps(
        {
            "type": "delete",
            "contact_id": contact_id,
            "occurred_at": origin.occurred_at,
            "message_id": origin.message_id,
            "source": {"kind": origin.kind, "ref": origin.ref},
        }
    )


def encode_membership_change(change: Change, partition: int) -> tuple[bytes, bytes, Headers]:
    """The key, the value and the headers of a change's record on `memberships`."""
    segment_id = change.segment_id
    contact_id = change.contact_id
    at, offset = change.version
    event_id = f"{segment_id}|{contact_id}|{at}|{offset}"
    value = orjson.dumps(
        {
            "segment_id": segment_id,
            "segment_version": change.segment_version,
            "contact_id": contact_id,
            "change": change.kind.value,
            "member": change.kind is ChangeKind.ENTER,
            "at": at,
            "offset": offset,
            "event_id": event_id,
            "cause": {
                "kind": change.cause.value,
                "partition": partition,
                "index": change.index,
                "count": change.count,
            },
        }
    )
    return f"{segment_id}|{contact_id}".encode(), value, identified(MEMBERSHIP_CHANGED_HEADERS, event_id)


def encode_contact(state: ContactState) -> bytes:
    """A contact's row on `contacts-changelog`; its key is the contact id."""
    clock, offset, seq = state.position
    return orjson.dumps(
        {
            "attributes": state.attributes,
            "members": state.members,
            "left": sorted(state.left),
            "clock": clock,
            "offset": offset,
            "seq": seq,
            "due": state.due,
            "born": state.born,
        }
    )


def decode_contact(value: bytes) -> ContactState:
    """Read a row that `encode_contact` wrote. Errors: KeyError or orjson's on a row that it did not write."""
    row = orjson.loads(value)
    position = Position(row["clock"], row["offset"], row["seq"])
    born = row.get("born", UNKNOWN_BIRTH)  # rows written before births were kept have none
    return ContactState(row["attributes"], row["members"], set(row["left"]), position, row["due"], born)


def decode_attributes_and_members(value: bytes) -> tuple[Attributes, Mapping[SegmentId, InstantMs]]:
    """What a contact holds and where it is a member, of a row that `encode_contact` wrote."""
    row = orjson.loads(value)
    return row["attributes"], row["members"]


def decode_kept_contact(value: bytes) -> ContactState:
    """`decode_contact` of one that stays in memory: equal texts of all contacts are one object.

    Most texts are one of a few (a country, a plan). What costs a write most is touching the values of a contact that
    has left the processor's caches; shared ones have not.
    """
    contact = decode_contact(value)
    attributes = contact.attributes
    for name, held in attributes.items():
        if type(held) is str:
            attributes[name] = intern(held)
        elif type(held) is list:
            attributes[name] = _shared(held)
    return contact


def _shared(elements: Iterable[Any]) -> list[Any]:
    return [intern(each) if type(each) is str else each for each in elements]
