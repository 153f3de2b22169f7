"""A dead letter fits into its topic whatever the input holds, and says what it lacks."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.codec import Malformed, decode_input
from schemas.dead_letter import DeadLetterHeaders, original_headers
from schemas.limits import CONTACT_ID_BYTES_MAX
from schemas.topics import SPECS, Topic
from services.evaluator.dead_letters import HEADERS_KEPT_BYTES, KEY_KEPT_BYTES, dead_letter
from services.evaluator.ports import OutputRecord
from tests.services.evaluator.inputs import NOW, Record

MIB = 1 << 20
TOPIC_BYTES_MAX = int(SPECS[Topic.DEAD_LETTERS].settings["max.message.bytes"])
MANY = tuple((f"h{number}", b"") for number in range(700_000))


def letter_of(record: Record) -> tuple[OutputRecord, DeadLetterHeaders]:
    """The dead letter of a record that cannot be read, as the evaluator writes it."""
    read = decode_input(record.key, record.value, record.headers)
    assert isinstance(read, Malformed)
    written = dead_letter(record, read.code, read.message, "contact-changes", 3)
    return written, DeadLetterHeaders.read_from(written.headers)


def batch_bytes(letter: OutputRecord) -> int:
    """How large the batch is that the letter is sent in."""
    builder = DefaultRecordBatchBuilder(2, 0, 1, 0, 0, 0, 16 * MIB)
    assert builder.append(0, NOW, letter.key, letter.value, list(letter.headers)) is not None
    return len(builder.build())


@pytest.mark.parametrize(
    "record",
    [
        Record(5, NOW, b"k" * 9 * MIB, b"{}"),
        Record(5, NOW, b"k" * 2 * MIB, b"x" * 7 * MIB),
        Record(5, NOW, b"k" * 9 * MIB, None, (("h", b"z" * 9 * MIB),)),
        Record(5, NOW, b"k", b"nonsense", (("small", b"1"), ("h", b"z" * 9 * MIB), ("last", b"2"))),
        Record(5, NOW, b"k", b"nonsense", MANY),
    ],
    ids=["key", "key and value", "key and header", "header", "many headers"],
)
def test_a_letter_of_a_record_of_any_size_fits_into_one_request_and_one_batch_of_its_topic(record: Record) -> None:
    letter, said = letter_of(record)
    assert batch_bytes(letter) < TOPIC_BYTES_MAX
    assert said.offset == 5
    assert said.value_left_out == len(record.value or b"")
    assert "left out" in said.message


def test_what_is_left_of_a_key_is_no_contact_id_and_every_header_that_fits_is_there() -> None:
    letter, said = letter_of(
        Record(5, NOW, b"k" * MIB, b"{}", (("a", b"1"), ("h", b"z" * 9 * MIB), ("b", b"2"))),
    )
    assert letter.key == b"k" * KEY_KEPT_BYTES
    assert KEY_KEPT_BYTES > CONTACT_ID_BYTES_MAX
    assert original_headers(letter.headers) == [("a", b"1"), ("b", b"2")]
    assert said.message.endswith("(value of 2 bytes left out, key of 1048576 bytes cut, 1 of 3 headers left out)")


def test_a_record_that_fits_is_kept_as_it_is() -> None:
    headers = (("h", b"z" * 2 * HEADERS_KEPT_BYTES),)
    letter, said = letter_of(Record(5, NOW, b"k" * 2 * KEY_KEPT_BYTES, b"x" * MIB, headers))
    assert (letter.key, letter.value) == (b"k" * 2 * KEY_KEPT_BYTES, b"x" * MIB)
    assert original_headers(letter.headers) == list(headers)
    assert said.value_left_out is None
