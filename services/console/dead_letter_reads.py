"""`GET /dead-letters`: the records that could not be evaluated, newest first, and one of them whole.

Rule: what a record held is shown as text where it is text, and otherwise as base64, said beside it. For `admin` only,
because a dead letter may hold anything that a producer sent.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query

from services.console.dead_letter_log import DeadLetter, DeadLetterLog
from services.console.feed import decode_positions, encode_positions
from services.console.instants import rfc3339
from services.runtime.problems import ProblemError, not_found

PAGE_MAX: Final = 200
PAGE_DEFAULT: Final = 50
CODE_CHARACTERS_MAX: Final = 100
UTF8_SEQUENCE_BYTES_MAX: Final = 4

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Code = Annotated[str | None, Query(max_length=CODE_CHARACTERS_MAX)]


def dead_letters_router(letters: DeadLetterLog, partitions: int, admit: Any) -> APIRouter:
    """The routes, for readers that `admit` lets in."""
    router = APIRouter(prefix="/dead-letters", dependencies=[Depends(admit)])

    @router.get("")
    async def dead_letters(after: str | None = None, limit: Limit = PAGE_DEFAULT, code: Code = None) -> dict[str, Any]:
        """Dead letters, newest first, with the beginning of what they held; `next` is the `after` of the next page."""
        below = None if after is None else decode_positions(after, partitions)
        if after is not None and below is None:
            raise ProblemError(422, "bad_cursor", "`after` is no cursor of this list", "send the `next` of a page")
        page = await letters.page(below, limit, code)
        return {
            "dead_letters": [_listed(letter) for letter in page.letters],
            "next": None if page.below is None else encode_positions(page.below),
        }

    @router.get("/{partition}/{offset}")
    async def dead_letter(
        partition: Annotated[int, Path(ge=0)], offset: Annotated[int, Path(ge=0, lt=1 << 63)]
    ) -> dict[str, Any]:
        """One dead letter, whole, with the headers that it came with."""
        letter = await letters.one(partition, offset) if partition < partitions else None
        if letter is None:
            raise not_found("dead-letter", f"{partition}/{offset}")
        headers = [{"name": name, **_shown("value", value)} for name, value in letter.headers]
        return {**_listed(letter), "headers": headers}

    return router


def _listed(letter: DeadLetter) -> dict[str, Any]:
    said = letter.said
    is_cut = len(letter.value or b"") < letter.value_bytes
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "at": rfc3339(letter.at_ms),
        "code": said.code,
        "message": said.message,
        **_shown("key", letter.key),
        **_shown("value", letter.value, is_cut=is_cut),
        "value_bytes": letter.value_bytes,
        "value_is_cut": is_cut,
        "source": {"topic": said.topic, "partition": said.partition, "offset": said.offset},
    }


def _shown(name: str, content: bytes | None, *, is_cut: bool = False) -> dict[str, Any]:
    """Bytes under a name, as text if they are text; a character that a cut went through is left out."""
    if content is None:
        return {name: None, f"{name}_is_base64": False}
    try:
        return {name: content.decode(), f"{name}_is_base64": False}
    except UnicodeDecodeError as error:
        if is_cut and len(content) - error.start < UTF8_SEQUENCE_BYTES_MAX and error.reason == "unexpected end of data":
            return {name: content[: error.start].decode(), f"{name}_is_base64": False}
        return {name: b64encode(content).decode("ascii"), f"{name}_is_base64": True}
