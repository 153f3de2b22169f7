"""What a request to write contacts becomes: records for the log, or rejections that point at each fault.

Pure: no clock, no I/O, no chance; message ids and instants come in as arguments. Rule: an item is admitted whole or not
at all, and an item's fault never touches its neighbours. Rejections never repeat an attribute's value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.codec import ChangeOrigin, encode_contact_change, encode_contact_delete
from schemas.limits import CONTACT_BYTES_MAX, CONTACT_ID_BYTES_MAX, MESSAGE_ID_CHARACTERS_MAX
from schemas.record import is_contact_id
from segmentation.errors import Problem, Rejection
from segmentation.flatten import flatten
from segmentation.model import AttributeChanges, ContactId, InstantMs
from services.ingest.unknown_fields import unknown_fields

BATCH_CONTACTS_MAX: Final = 1_000
FIELDS: Final = ("id", "attributes", "timestamp", "message_id")
_KNOWN: Final = frozenset(FIELDS)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from. `ref` is its id, from which message ids are made when the sender gives none."""

    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """One record for the log: `value` under the key `contact_id`."""

    contact_id: ContactId
    message_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """One item that is not written. `contact_id` as far as it could be read."""

    contact_id: str | None
    rejection: Rejection


Item = Admitted | Refused


def admit_post(body: object, origin: Origin) -> list[Item] | Rejection:
    """`POST /contacts`: one contact or `{"contacts": […]}`, one item each in order, or why the whole is refused."""
    if not isinstance(body, dict):
        return _reject("expects_object", "the body must be a JSON object", 'send {"id": "u_17", "attributes": {}}', "")
    if "contacts" not in body:
        return [admit_contact(body, origin, 0, "")]
    contacts = body["contacts"]
    problems = unknown_fields(body, ("contacts",), "", "means nothing beside `contacts`")
    if not isinstance(contacts, list) or not 1 <= len(contacts) <= BATCH_CONTACTS_MAX:
        message = f"`contacts` must be a list of 1 to {BATCH_CONTACTS_MAX} contacts"
        problems.append(Problem("batch_size", message, "split the batch", pointer="/contacts"))
    if problems:
        return Rejection(tuple(problems))
    return [admit_contact(contact, origin, index, f"/contacts/{index}") for index, contact in enumerate(contacts)]


def admit_contact(contact: object, origin: Origin, index: int, pointer: str) -> Item:
    """One contact `{"id", "attributes", "timestamp"?, "message_id"?}` at `pointer` of the request."""
    if not isinstance(contact, dict):
        return Refused(
            None, _reject("expects_object", "a contact must be an object", 'send {"id": …, "attributes": …}', pointer)
        )
    contact_id = contact.get("id")
    if not isinstance(contact_id, str) or not is_contact_id(contact_id):
        problem = Problem(
            "missing_id" if contact_id is None else "invalid_id",
            f"`id` must be text of 1 to {CONTACT_ID_BYTES_MAX} bytes",
            "name the contact" if contact_id is None else "shorten it, or send it as text",
            pointer=f"{pointer}/id",
        )
        return Refused(None, Rejection((problem,)))
    return _admit_change(ContactId(contact_id), contact, origin, index, pointer)


def admit_patch(contact_id: str, body: object, origin: Origin) -> Item:
    """`PATCH /contacts/{id}`: `{"attributes", "timestamp"?, "message_id"?}`."""
    problem = _check_path_id(contact_id)
    if problem is not None:
        return Refused(contact_id, Rejection((problem,)))
    if not isinstance(body, dict):
        return Refused(
            contact_id, _reject("expects_object", "the body must be a JSON object", 'send {"attributes": {…}}', "")
        )
    if "id" in body and body["id"] != contact_id:
        return Refused(contact_id, _reject("id_mismatch", "`id` is not the one in the path", "leave it out", "/id"))
    return _admit_change(ContactId(contact_id), body, origin, 0, "")


def admit_delete(contact_id: str, origin: Origin) -> Item:
    """`DELETE /contacts/{id}`: erase."""
    problem = _check_path_id(contact_id)
    if problem is not None:
        return Refused(contact_id, Rejection((problem,)))
    message_id = f"{origin.ref}-0"
    value = encode_contact_delete(ContactId(contact_id), ChangeOrigin(origin.kind, origin.ref, message_id))
    return Admitted(ContactId(contact_id), message_id, value)


def admit_attributes(contact_id: ContactId, attributes: AttributeChanges, change: ChangeOrigin, pointer: str) -> Item:
    """Attributes that are flat already, as one record."""
    value = encode_contact_change(contact_id, attributes, change)
    if len(value) > CONTACT_BYTES_MAX:
        message = f"this contact has {len(value)} bytes as JSON; at most {CONTACT_BYTES_MAX} are taken"
        return Refused(contact_id, _reject("contact_too_large", message, "send fewer or shorter attributes", pointer))
    return Admitted(contact_id, change.message_id, value)


def _admit_change(
    contact_id: ContactId, fields: Mapping[str, object], origin: Origin, index: int, pointer: str
) -> Item:
    problems = unknown_fields(
        fields,
        _KNOWN,
        pointer,
        f"is not one of {', '.join(FIELDS)}",
        lambda name: f'an attribute goes inside: {{"attributes": {{"{name}": …}}}}',
    )
    occurred_at = _read_timestamp(fields.get("timestamp"), pointer, problems)
    message_id = _read_message_id(fields.get("message_id"), f"{origin.ref}-{index}", pointer, problems)
    if "attributes" not in fields:
        hint = "send {} to create the contact without any"
        problems.append(Problem("missing_attributes", "`attributes` is missing", hint, pointer=f"{pointer}/attributes"))
        return Refused(contact_id, Rejection(tuple(problems)))
    flattened = flatten(fields["attributes"], f"{pointer}/attributes")
    problems.extend(flattened.problems)
    if problems:
        return Refused(contact_id, Rejection(tuple(problems)))
    change = ChangeOrigin(origin.kind, origin.ref, message_id, occurred_at)
    return admit_attributes(contact_id, flattened.changes, change, pointer)


def _check_path_id(contact_id: str) -> Problem | None:
    if is_contact_id(contact_id):
        return None
    return Problem("invalid_id", f"a contact id has 1 to {CONTACT_ID_BYTES_MAX} bytes", "shorten it", pointer="/id")


def _read_timestamp(value: object, pointer: str, problems: list[Problem]) -> InstantMs | None:
    if value is None:
        return None
    instant = parse_rfc3339(value) if isinstance(value, str) else None
    if instant is None:
        message = "`timestamp` must be an RFC 3339 instant"
        hint = "write 2026-05-01T12:00:00Z"
        problems.append(Problem("invalid_timestamp", message, hint, pointer=f"{pointer}/timestamp"))
    return instant


def _read_message_id(value: object, otherwise: str, pointer: str, problems: list[Problem]) -> str:
    if value is None:
        return otherwise
    if isinstance(value, str) and 0 < len(value) <= MESSAGE_ID_CHARACTERS_MAX:
        return value
    message = f"`message_id` must be text of 1 to {MESSAGE_ID_CHARACTERS_MAX} characters"
    problems.append(Problem("invalid_message_id", message, "leave it out to get one", pointer=f"{pointer}/message_id"))
    return otherwise


def parse_rfc3339(text: str) -> InstantMs | None:
    """An RFC 3339 instant in epoch milliseconds, a finer fraction cut off; None if it is not one."""
    matched = _RFC3339.fullmatch(text)
    if matched is None:
        return None
    day, time, fraction, zone = matched.groups()
    micros = (fraction or ".0")[1:7].ljust(6, "0")
    try:
        instant = datetime.fromisoformat(f"{day}T{time}.{micros}{'+00:00' if zone in 'Zz' else zone}")
        return InstantMs((instant - _EPOCH) // _MILLISECOND)
    except (ValueError, OverflowError):
        return None


def _reject(code: str, message: str, hint: str, pointer: str) -> Rejection:
    return Rejection((Problem(code, message, hint, pointer=pointer),))
