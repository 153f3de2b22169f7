"""What the replay of a dead letter writes, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

from schemas.codec import decode_input
from schemas.dead_letter import REPLAYED_FROM, UNKNOWN, VALUE_LEFT_OUT, DeadLetterHeaders
from schemas.events import CONTACT_CHANGED_HEADERS, SEGMENT_DEFINED_HEADERS, TICK_HEADERS, Headers
from segmentation.errors import Rejection
from services.evaluator.dead_letters import DEAD_LETTER_BYTES_MAX, dead_letter
from services.ingest.replaying import DeadLetter, Replay, is_generated, replay


@dataclass
class Died:
    """A record that could not be evaluated."""

    value: bytes | None
    key: bytes | None = b"u_1"
    offset: int = 7
    timestamp: int = 1
    headers: Headers = ()


VALUE = b'{"attributes": {"plan": "pro"}}'


def letter(
    key: bytes | None,
    value: bytes | None,
    headers: Headers = tuple(CONTACT_CHANGED_HEADERS),
    left_out: int | None = None,
) -> DeadLetter:
    said = DeadLetterHeaders(
        code="evaluation_failed",
        message="…",
        topic="contact-changes",
        partition=2,
        offset=7,
        value_left_out=left_out,
    )
    return DeadLetter(2, 40, key, value, said.added_to(headers))


def replayed(died: DeadLetter, repaired: dict[str, object] | None = None) -> Replay:
    found = replay(died, repaired)
    assert isinstance(found, Replay), found
    return found


def codes(died: DeadLetter, repaired: dict[str, object] | None = None) -> list[str]:
    found = replay(died, repaired)
    assert isinstance(found, Rejection), found
    return [problem.code for problem in found.problems]


def test_a_record_goes_back_as_it_was_with_the_place_of_its_dead_letter() -> None:
    found = replayed(letter(b"u_1", VALUE, [("trace", b"1")]))
    assert (found.contact_id, found.value) == ("u_1", VALUE)
    assert list(found.headers) == [("trace", b"1"), ("ce_id", b"replay-2-40"), (REPLAYED_FROM, b"2:40")]


def test_a_record_that_died_twice_names_only_its_last_death() -> None:
    first = replayed(letter(b"u_1", VALUE))
    second = replayed(letter(b"u_1", VALUE, first.headers))
    assert second.headers == first.headers


def test_a_tombstone_is_replayed_and_a_value_that_was_left_out_is_not_taken_for_one() -> None:
    assert replayed(letter(b"u_1", None)).value is None
    assert codes(letter(b"u_1", None, left_out=9_000_000)) == ["value_left_out"]


def test_a_value_that_is_there_is_replayed_whatever_its_producer_says_of_it_in_a_header() -> None:
    named = [*CONTACT_CHANGED_HEADERS, (VALUE_LEFT_OUT, b"7")]
    assert replayed(letter(b"u_1", VALUE, named)).value == VALUE
    assert codes(letter(b"u_1", None, named)) == ["value_left_out"]


@pytest.mark.parametrize("said", [b"9" * 5_000, b"9" * 19, "٣".encode(), b"-1", b""])
def test_a_number_that_no_broker_gives_is_none(said: bytes) -> None:
    written = dead_letter(Died(VALUE, headers=((VALUE_LEFT_OUT, said),)), "no_key", "…", "contact-changes", 2)
    assert DeadLetterHeaders.read_from(written.headers).value_left_out == UNKNOWN


def test_the_evaluator_says_that_it_left_a_value_out() -> None:
    written = dead_letter(Died(b"x" * (DEAD_LETTER_BYTES_MAX + 1)), "too_large", "…", "contact-changes", 2)
    assert written.value is None
    assert DeadLetterHeaders.read_from(written.headers).value_left_out == DEAD_LETTER_BYTES_MAX + 1
    tombstone = dead_letter(Died(None), "no_key", "…", "contact-changes", 2)
    assert DeadLetterHeaders.read_from(tombstone.headers).value_left_out is None


@pytest.mark.parametrize(
    ("key", "value", "headers", "code"),
    [
        (b"u_1", b"{", (), "invalid_json"),
        (b"u_1", b'{"attributes": 1}', (), "no_attributes"),
        (None, VALUE, (), "no_key"),
        (b"\xff", VALUE, (), "key_not_utf8"),
        (b"u_1", VALUE, (("ce_type", b"strange"),), "unknown_type"),
    ],
)
def test_what_would_die_again_is_refused_with_the_reason(
    key: bytes | None, value: bytes, headers: Headers, code: str
) -> None:
    assert codes(letter(key, value, headers)) == [code]


def test_a_repaired_value_takes_the_place_of_the_one_that_died_and_gets_the_replays_message_id() -> None:
    found = replayed(letter(b"u_1", b"{", [("ce_type", b"strange")]), {"attributes": {"plan": "pro"}})
    value = orjson.loads(found.value or b"")
    assert value == {"message_id": found.message_id, "attributes": {"plan": "pro"}}
    assert decode_input(b"u_1", found.value, found.headers) == ("u_1", {"plan": "pro"})


def test_the_message_id_follows_from_the_letter_and_the_repair_alone() -> None:
    died = letter(b"u_1", b"{")
    one = replayed(died, {"attributes": {"a": 1, "b": 2}})
    same = replayed(died, {"attributes": {"b": 2, "a": 1}})
    other = replayed(died, {"attributes": {"a": 1, "b": 3}})
    assert one.message_id == same.message_id != other.message_id
    assert replayed(letter(b"u_1", VALUE)).message_id == "replay-2-40"


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"x" * 600])
def test_a_repaired_value_names_the_contact_where_the_key_does_not(key: bytes | None) -> None:
    assert replayed(letter(key, b"{"), {"contact_id": "u_9", "attributes": {}}).contact_id == "u_9"
    assert codes(letter(key, b"{"), {"attributes": {}})
    assert codes(letter(b"u_1", b"{"), {"contact_id": "u_9", "attributes": {}}) == ["contact_id_mismatch"]


def test_ticks_and_definitions_are_told_apart() -> None:
    assert is_generated(letter(None, b"{", TICK_HEADERS))
    assert is_generated(letter(None, b"{", SEGMENT_DEFINED_HEADERS))
    assert not is_generated(letter(None, b"{", ()))
