"""Inputs that cannot be evaluated, as records for the dead-letter topic: unchanged, with the reason in headers.

Rule: a dead letter is part of the transaction that passes the input, so received = processed, the refused among them.
"""

from __future__ import annotations

from schemas.dead_letter import DeadLetterHeaders
from services.evaluator.ports import InputRecord, OutputRecord

WRONG_PARTITION = "wrong_partition"
CONTACT_TOO_LARGE = "contact_too_large"
EVALUATION_FAILED = "evaluation_failed"
UNUSABLE_DEFINITION = "unusable_definition"

DEAD_LETTER_BYTES_MAX = 7 << 20
"""A larger value stays only in the input log, at the offset that the headers name, until retention removes it."""


def dead_letter(record: InputRecord, code: str, message: str, topic: str, partition: int) -> OutputRecord:
    """The dead letter of an input at its place in the log."""
    value = record.value
    left_out: int | None = None
    if value is not None and len(value) > DEAD_LETTER_BYTES_MAX:
        left_out = len(value)
        value = None
        message = f"{message} (value of {left_out} bytes left out)"
    said = DeadLetterHeaders(
        code=code, message=message, topic=topic, partition=partition, offset=record.offset, value_left_out=left_out
    )
    return OutputRecord(record.key, value, said.added_to(record.headers))
