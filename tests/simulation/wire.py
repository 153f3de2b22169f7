"""Inputs as bytes on the input log, written as a producer in another language would write them.

Rule: only the standard library's JSON and the contract; the product's own encoders take no part.
"""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random

from segmentation.expression.jsonform import to_json
from segmentation.expression.syntax import Expression
from segmentation.model import ContactId
from services.evaluator.ports import OutputRecord
from tests.oracle.reference import DefinitionInput, DeleteInput, Input, PoisonInput, TickInput, WriteInput

TYPE_HEADER = "ce_type"
INTERVAL_MS = 1_000


def encode(rng: Random, proposed: Input, now: int, stranger: ContactId) -> OutputRecord:
    """One record of the input log. `stranger` is a contact that belongs to another partition, for poison."""
    match proposed:
        case WriteInput(contact_id, changes):
            return OutputRecord(contact_id.encode(), json.dumps({"attributes": changes}).encode())
        case DeleteInput(contact_id):
            return OutputRecord(contact_id.encode(), None if rng.random() < 0.5 else b'{"type":"delete"}')
        case TickInput():
            tick = {"scheduled_at": now, "interval_ms": INTERVAL_MS}
            return OutputRecord(None, json.dumps(tick).encode(), ((TYPE_HEADER, b"tick"),))
        case DefinitionInput():
            return OutputRecord(None, _definition(proposed), ((TYPE_HEADER, b"segment.defined"),))
        case PoisonInput():
            return _poison(rng, stranger)


@lru_cache(maxsize=1_000)
def _where(expression: Expression) -> object:
    return to_json(expression)


def _definition(proposed: DefinitionInput) -> bytes:
    return json.dumps(
        {
            "segment_id": proposed.segment_id,
            "version": proposed.version,
            "replaces": proposed.version - 1,
            "state": proposed.state,
            "name": proposed.segment_id,
            "where": _where(proposed.expression),
            "text": "as in where",
        }
    ).encode()


def _poison(rng: Random, stranger: ContactId) -> OutputRecord:
    write = b'{"attributes":{"plan":"pro"}}'
    return rng.choice(
        (
            OutputRecord(b"c0", b"\xff\xfe not json"),
            OutputRecord(b"c0", b'{"attributes":{"plan":"pro"'),
            OutputRecord(b"c0", b'{"attributes":{"score":NaN}}'),
            OutputRecord(b"c0", b'{"attributes":{"plan":"pro","plan":"free"}}'),
            OutputRecord(b"c0", b'{"attributes":{"plan":{"nested":1}}}'),
            OutputRecord(b"c0", b"[]"),
            OutputRecord(b"c0", b'{"contact_id":"c1","attributes":{}}'),
            OutputRecord(b"c0", write, ((TYPE_HEADER, b"contact.vanished"),)),
            OutputRecord(None, write),
            OutputRecord(b"", None),
            OutputRecord(b"\xff", write),
            OutputRecord(stranger.encode(), write),
            OutputRecord(None, b'{"segment_id":"s0"}', ((TYPE_HEADER, b"segment.defined"),)),
            OutputRecord(None, None, ((TYPE_HEADER, b"tick"),)),
        )
    )
