"""Inputs that cannot be evaluated, as records for the dead-letter topic: unchanged, with the reason in headers.

Rule: a dead letter is part of the transaction that passes the input, so received = processed, the refused among them.
So it must fit into its topic whatever the input holds: one that does not would end every start at the same offset.
"""

from __future__ import annotations

from schemas.codec import encode_contact
from schemas.dead_letter import DeadLetterHeaders
from segmentation.model import ContactState
from services.evaluator.ports import Headers, InputRecord, OutputRecord

WRONG_PARTITION = "wrong_partition"
CONTACT_TOO_LARGE = "contact_too_large"
EVALUATION_FAILED = "evaluation_failed"
UNUSABLE_DEFINITION = "unusable_definition"

CONTACT_ROW_BYTES_MAX = 4 << 20
LARGE_WRITE_BYTES = 8 << 10
LARGE_CONTACT_ENTRIES = 250
"""Only a larger write or contact is measured against the row limit: a smaller one cannot exceed it."""

DEAD_LETTER_BYTES_MAX = 7 << 20
"""Of key, value and headers together. What is left out stays only in the input log, at the offset that the headers
name, until retention removes it."""
KEY_KEPT_BYTES = 64 << 10
"""Of a key that must be cut: more than a contact id may have, so that the rest is never taken for one."""
HEADERS_KEPT_BYTES = 1 << 20
"""Of headers that must be cut: each that still fits, whole."""
HEADER_BYTES_BESIDE = 10
"""What a header takes besides its name and its content, at most."""


def excessive_bytes(record: InputRecord, contact: ContactState) -> int:
    """How large the row of a contact would be behind a write, if too large to be kept; else 0."""
    entries = len(contact.attributes) + len(contact.members) + len(contact.left)
    if entries <= LARGE_CONTACT_ENTRIES and len(record.value or b"") <= LARGE_WRITE_BYTES:
        return 0
    size = len(encode_contact(contact))
    return size if size > CONTACT_ROW_BYTES_MAX else 0


def dead_letter(record: InputRecord, code: str, message: str, topic: str, partition: int) -> OutputRecord:
    """The dead letter of an input at its place in the log.

    The value goes first, and always if a key or headers go: what is left of those must not be replayed as it is.
    """
    key, value, headers = record.key, record.value, record.headers
    beside = len(key or b"") + sum(map(_size, headers))
    left_out: int | None = None
    notes: list[str] = []
    if beside + len(value or b"") > DEAD_LETTER_BYTES_MAX:
        left_out, value = len(value or b""), None
        notes.append(f"value of {left_out} bytes left out")
    if beside > DEAD_LETTER_BYTES_MAX:
        if key is not None and len(key) > KEY_KEPT_BYTES:
            notes.append(f"key of {len(key)} bytes cut")
            key = key[:KEY_KEPT_BYTES]
        kept = _fitting(headers)
        if len(kept) < len(headers):
            notes.append(f"{len(headers) - len(kept)} of {len(headers)} headers left out")
        headers = kept
    if notes:
        message = f"{message} ({', '.join(notes)})"
    said = DeadLetterHeaders(
        code=code, message=message, topic=topic, partition=partition, offset=record.offset, value_left_out=left_out
    )
    return OutputRecord(key, value, said.added_to(headers))


def _size(header: tuple[str, bytes]) -> int:
    name, content = header
    return len(name.encode()) + len(content or b"") + HEADER_BYTES_BESIDE  # a producer may have sent a null


def _fitting(headers: Headers) -> Headers:
    """Those headers that fit into what is kept of them, in their order."""
    kept: list[tuple[str, bytes]] = []
    room = HEADERS_KEPT_BYTES
    for header in headers:
        if (size := _size(header)) <= room:
            kept.append(header)
            room -= size
    return kept
