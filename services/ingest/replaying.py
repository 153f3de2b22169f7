"""What the replay of a dead letter writes: its record again, or a repaired one in its place, or why neither can be.

Pure. Rule: nothing goes back to the log that would certainly die again, so an operator learns here what is still wrong.
A dead letter whose value was left out is never taken for a tombstone, which would erase the contact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from schemas.codec import (
    ContactDelete,
    ContactWrite,
    Malformed,
    decode_input,
)
from schemas.dead_letter import REPLAYED_FROM, DeadLetterHeaders, original_headers
from schemas.events import CONTACT_CHANGED_HEADERS, EVENT_ID_HEADER, Headers
from schemas.record import is_contact_id
from segmentation.errors import Problem, Rejection
from segmentation.model import ContactId

_SEND_ONE: Final = 'send {"value": {"attributes": {…}}}, the record as it should have been'
_GENERATED: Final = frozenset({b"tick", b"segment.defined"})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it stands on its topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Replay:
    """One record for the log. `message_id` is the same for every replay of the same letter with the same value."""

    contact_id: ContactId
    message_id: str
    value: bytes | None
    headers: Headers


def is_generated(letter: DeadLetter) -> bool:
    """Whether Tidegate itself wrote the record that died, a tick or a definition: those come again by themselves."""
    return any(name == "ce_type" and content in _GENERATED for name, content in letter.headers)


def replay(letter: DeadLetter, repaired: Mapping[str, object] | None) -> Replay | Rejection:
    """The record to write; `repaired` in the place of the value that died, None for that value itself."""
    said = DeadLetterHeaders.read_from(letter.headers)
    if repaired is None:
        if letter.value is None and said.value_left_out is not None:
            message = f"the value of {said.value_left_out} bytes was too large to keep"
            return Rejection((Problem("value_left_out", message, _SEND_ONE, pointer="/value"),))
        headers = original_headers(letter.headers)
        key, value = letter.key, letter.value
        message_id = f"replay-{letter.partition}-{letter.offset}"
    else:
        headers = list(CONTACT_CHANGED_HEADERS)
        key = _repaired_key(letter.key, repaired)
        message_id = f"replay-{letter.partition}-{letter.offset}-{fingerprint(repaired)[:16]}"
        value = orjson.dumps({"message_id": message_id, **repaired})
    read = decode_input(key, value, headers)
    if isinstance(read, Malformed):
        pointer = "/value" if repaired is not None else ""
        hint = "repair the value" if repaired is not None else f"it would die again; {_SEND_ONE}"
        return Rejection((Problem(read.code, read.message, hint, pointer=pointer),))
    if not isinstance(read, ContactWrite | ContactDelete):
        raise AssertionError("what Tidegate writes itself is not replayed")
    place = f"{letter.partition}:{letter.offset}".encode()
    kept = [(name, content) for name, content in headers if name not in (REPLAYED_FROM, EVENT_ID_HEADER)]
    ours = [(EVENT_ID_HEADER, message_id.encode()), (REPLAYED_FROM, place)]
    return Replay(read.contact_id, message_id, value, [*kept, *ours])


def fingerprint(repaired: Mapping[str, object] | None) -> str:
    """The same for the same value, however its members are ordered."""
    return hashlib.sha256(orjson.dumps(repaired, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _repaired_key(key: bytes | None, repaired: Mapping[str, object]) -> bytes | None:
    """The letter's key; where that is none, the contact that the repaired value names."""
    try:
        usable = key is not None and is_contact_id(key.decode())
    except UnicodeDecodeError:
        usable = False
    named = repaired.get("contact_id")
    if usable or not isinstance(named, str) or not is_contact_id(named):
        return key
    return named.encode()
