"""`requests`: what came of requests that carried an `Idempotency-Key`, so that a repeat gets the same answer.

Rule: the record key is a digest of the API key's id and the sender's key. A claim stands if nothing stands before it in
the log; every ingest process folds the log alike, so of two repeats at the same time one is carried out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.record import Record


class RequestState(StrEnum):
    """How far a request is."""

    CLAIMED = "claimed"
    """One process carries it out."""
    DONE = "done"
    """It was carried out; the answer is kept."""
    RELEASED = "released"
    """It could not be carried out, and may be tried again."""


class RequestRecord(Record):
    """One step of one request. `claim` is the same in all steps of one attempt."""

    state: Annotated[RequestState, Field(strict=False)]
    claim: str
    fingerprint: str = Field(description="SHA-256 of method, path and body: a key may not be used for something else.")
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = Field(None, description="Never holds a secret, though the first answer may have.")
    packed_body: str | None = Field(None, description="In the place of a long body: that, by zlib, in base64.")
