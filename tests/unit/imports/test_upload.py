"""An upload on its way in: bounded in time, and gone without a trace when it does not arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from services.ingest.imports import upload
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.limits import UPLOAD_STALL_BYTES, UPLOAD_STALL_MAX_S
from services.ingest.imports.multipart import FormUpload
from services.runtime import clock
from services.runtime.problems import ProblemError

IMPORT, OTHER = "imp_0000000001", "imp_0000000002"


@pytest.fixture
def files(tmp_path: Path) -> ImportFiles:
    made = ImportFiles(str(tmp_path / "imports"))
    made.prepare()
    return made


async def whole() -> AsyncIterator[bytes]:
    for _ in range(1_000):
        yield b"id,name\n" * 100


async def broken_off() -> AsyncIterator[bytes]:
    yield b"id,name\n"
    raise ClientDisconnect


async def stalled() -> AsyncIterator[bytes]:
    yield b"id,name\n"
    await asyncio.sleep(60)


async def test_what_arrives_is_kept(files: ImportFiles) -> None:
    received = await upload.receive(whole(), files, IMPORT)
    with files.upload(IMPORT) as file:
        assert file.read() == b"id,name\n" * 100_000
    assert received.bytes_kept == 800_000


async def test_uploads_are_bounded_together_and_one_beyond_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "ROOM_LOOKED_FOR_EVERY_BYTES", 200_000)
    files = ImportFiles(str(tmp_path / "imports"), uploads_bytes_max=1_000_000)
    files.prepare()
    await upload.receive(whole(), files, IMPORT)
    with pytest.raises(ProblemError) as half_way:
        await upload.receive(whole(), files, OTHER)
    assert (half_way.value.status, half_way.value.code) == (503, "uploads_full")
    assert files.ids() == [IMPORT]
    monkeypatch.setattr(upload, "ROOM_LOOKED_FOR_EVERY_BYTES", 10_000_000)
    await upload.receive(whole(), files, OTHER)
    with pytest.raises(ProblemError) as at_once:
        await upload.receive(stalled(), files, "imp_0000000003")
    assert at_once.value.code == "uploads_full"
    files.remove_upload(IMPORT)  # its rows are written
    await upload.receive(whole(), files, "imp_0000000003")


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_only_uploads_count_among_what_may_be_uploaded(tmp_path: Path, place: str) -> None:
    where = str(tmp_path / "imports") if place == "folder" else f"memory://{tmp_path.name}/imports"
    files = ImportFiles(where, uploads_bytes_max=100)
    files.prepare()
    assert files.has_room()
    files.save_rejected(IMPORT, 0, b"x" * 1_000)
    assert files.has_room()
    with files.new_upload(IMPORT) as file:
        file.write(b"x" * 100)
    assert not files.has_room()


async def test_an_upload_that_breaks_off_leaves_nothing(files: ImportFiles) -> None:
    with pytest.raises(ProblemError) as raised:
        await upload.receive(broken_off(), files, IMPORT)
    assert (raised.value.status, raised.value.code) == (400, "upload_broken_off")
    assert files.ids() == []


async def test_an_upload_that_stalls_is_given_up(files: ImportFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "UPLOAD_STALL_MAX_S", 0.05)
    with pytest.raises(ProblemError) as raised:
        await upload.receive(stalled(), files, IMPORT)
    assert raised.value.status == 408
    assert files.ids() == []


async def test_an_upload_that_trickles_is_given_up_and_one_that_comes_fast_enough_is_not(
    files: ImportFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]

    async def parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(100):
            passed[0] += UPLOAD_STALL_MAX_S / 10
            yield b"x\n" * (size // 2)
            await asyncio.sleep(0)

    monkeypatch.setattr(clock, "monotonic", lambda: passed[0])
    with pytest.raises(ProblemError) as raised:
        await upload.receive(parts(UPLOAD_STALL_BYTES // 16), files, IMPORT)
    assert (raised.value.status, raised.value.code) == (408, "body_timeout")
    assert files.ids() == []
    received = await upload.receive(parts(UPLOAD_STALL_BYTES // 8), files, OTHER)
    assert received.bytes_sent == 100 * UPLOAD_STALL_BYTES // 8


async def test_an_upload_whose_request_is_cancelled_leaves_nothing(files: ImportFiles) -> None:
    task = asyncio.create_task(upload.receive(stalled(), files, IMPORT))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files.ids() == []


@pytest.mark.parametrize("name", [b"x", b"x" * 100])
async def test_a_header_of_a_part_without_end_is_refused_before_it_fills_the_memory(name: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"--b\r\n" + name + b": "
        for _ in range(1_000):
            yield b"y" * 65_536

    with pytest.raises(ProblemError) as refused:
        await FormUpload(endless(), "multipart/form-data; boundary=b").fields()
    assert refused.value.code == "invalid_form"
