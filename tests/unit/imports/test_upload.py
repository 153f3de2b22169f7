"""An upload on its way in: bounded in time, and gone without a trace when it does not arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from services.ingest.imports import upload
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.multipart import FormUpload
from services.runtime.problems import ProblemError

IMPORT = "imp_0000000001"


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
