"""Receives an upload as it arrives and keeps it: checked piece by piece, never held whole.

Rule: an upload that is refused or breaks off leaves nothing behind. Errors: ProblemError 400 (broken off), 408, 413,
415, 422, 503 (no room); OSError from the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from starlette.requests import ClientDisconnect

from segmentation.errors import Problem
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.intake import Intake, Received, UploadRefusedError
from services.ingest.imports.limits import (
    PIECE_BYTES,
    ROOM_LOOKED_FOR_EVERY_BYTES,
    UPLOAD_BYTES_MAX,
    UPLOAD_STALL_BYTES,
    UPLOAD_STALL_MAX_S,
)
from services.ingest.imports.multipart import MULTIPART
from services.ingest.imports.offloading import off_loop
from services.runtime import clock
from services.runtime.problems import ProblemError, unavailable

KINDS: Final = (
    "text/csv",
    "text/plain",
    "text/tab-separated-values",
    "application/csv",
    "application/octet-stream",
    "application/gzip",
    "application/x-gzip",
    "application/vnd.ms-excel",
)
"""The media types under which CSV is sent. The last is what browsers call it where a spreadsheet program opens it; a
workbook is known by its bytes."""
_STATUS: Final = {"file_too_large": 413, "not_csv": 415}


async def receive(parts: AsyncIterator[bytes], files: ImportFiles, import_id: str) -> Received:
    """Keep an upload as the file of an import."""
    try:
        return await _receive(parts, files, import_id)
    except BaseException:
        await off_loop(files.remove, import_id)
        raise


def refusal(error: UploadRefusedError) -> ProblemError:
    """A refused file as an answer."""
    problem = Problem(error.code, error.found, error.repair, pointer="")
    title = "the file cannot be imported"
    return ProblemError(
        _STATUS.get(error.code, 422), error.code, title, f"{error.found}; {error.repair}", errors=(problem,)
    )


def check_declared_length(declared: str | None) -> None:
    """Refuse by its length a file that need not be sent at all."""
    if declared is not None and declared.isdigit() and int(declared[:19]) > UPLOAD_BYTES_MAX:
        raise refusal(
            UploadRefusedError(
                "file_too_large",
                f"the file is larger than {UPLOAD_BYTES_MAX} bytes (1 GiB)",
                "split it and import the parts",
            )
        )


def check_kind(kind: str) -> None:
    """Refuse what says that it is no CSV, whatever it holds. `kind`: the media type in small letters, "" for none."""
    if kind and kind not in KINDS:
        raise ProblemError(
            415,
            "unsupported_media_type",
            f"{kind[:100]!r} is not imported",
            f"send CSV with `Content-Type: text/csv`; also taken: {', '.join(KINDS[1:])}, {MULTIPART}, or none",
        )


async def _receive(parts: AsyncIterator[bytes], files: ImportFiles, import_id: str) -> Received:
    intake = Intake()
    await _demand_room(files)
    opening = files.new_upload(import_id)
    file = await off_loop(opening.__enter__)
    try:
        held = bytearray()
        unlooked = 0
        async for part in arriving(parts):
            for start in range(0, len(part), PIECE_BYTES):
                held += part[start : start + PIECE_BYTES]
                if len(held) >= PIECE_BYTES:
                    unlooked += await off_loop(_keep, intake, bytes(held), file)
                    held.clear()
                if unlooked >= ROOM_LOOKED_FOR_EVERY_BYTES:
                    await _demand_room(files)
                    unlooked = 0
        await off_loop(_finish, intake, bytes(held), file)
        return intake.received()
    except UploadRefusedError as error:
        raise refusal(error) from error
    finally:
        await off_loop(opening.__exit__, None, None, None)


async def arriving(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The parts of a request, so many bytes of them within their time; the time until the next is asked for is ours.

    Errors: ProblemError.
    """
    left_s, came = float(UPLOAD_STALL_MAX_S), 0
    while True:
        began = clock.monotonic()
        try:
            async with asyncio.timeout(left_s):
                part = await anext(parts, None)
        except TimeoutError as error:
            title = f"less than {UPLOAD_STALL_BYTES} bytes of the file arrived in {UPLOAD_STALL_MAX_S} s"
            raise ProblemError(408, "body_timeout", title, "send it again") from error
        except ClientDisconnect as error:
            raise ProblemError(400, "upload_broken_off", "the file did not arrive whole", "send it again") from error
        if part is None:
            return
        left_s, came = left_s - (clock.monotonic() - began), came + len(part)
        if came >= UPLOAD_STALL_BYTES:
            left_s, came = float(UPLOAD_STALL_MAX_S), 0
        yield part


async def _demand_room(files: ImportFiles) -> None:
    if not await off_loop(files.has_room):
        title = "the files that wait for their import take as much room as they may"
        raise unavailable(
            "uploads_full", title, "commit or cancel some, or raise TIDEGATE_UPLOADS_MIB; then send it again"
        )


def _keep(intake: Intake, part: bytes, file: BinaryIO) -> int:
    """How many bytes were written: unpacked they may be more."""
    before = file.tell()
    file.writelines(intake.feed(part))
    return file.tell() - before


def _finish(intake: Intake, part: bytes, file: BinaryIO) -> None:
    if part:
        _keep(intake, part, file)
    file.writelines(intake.finish())
