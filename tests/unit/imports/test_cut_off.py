"""What a crash in the middle of an upload leaves behind, and how it goes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from segmentation.model import ContactId, InstantMs
from services.ingest.imports.claims import Claims
from services.ingest.imports.dry_run import Attributes, DryRunner
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.limits import UNFINISHED_MS
from services.ingest.imports.workshop import Workshop
from services.runtime import clock

CUT_OFF, EMPTY = "imp_0000000001", "imp_0000000002"


class NoContacts:
    """Stands for the owners of contacts, whom nobody asks here."""

    async def attributes_of(self, contact_ids: Sequence[ContactId]) -> Mapping[ContactId, Attributes]:
        raise AssertionError(f"asked for {contact_ids}")


def no_log(_: Callable[[], bool]) -> NoReturn:
    raise AssertionError("no import is carried out here")


@pytest.fixture(params=["folder", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ImportFiles:
    made = ImportFiles(str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4().hex}/imports")
    made.prepare()
    with made.new_upload(CUT_OFF) as file:
        file.write(b"id\nu1\n")
    return made


async def look_round(files: ImportFiles, now_ms: Callable[[], InstantMs]) -> None:
    """A process of ingest starts on what is there, and stops."""
    workshop = Workshop(files, no_log, 1, now_ms, DryRunner(NoContacts()), Claims(files, "here", now_ms))
    await workshop.start()
    await workshop.stop()


async def test_an_upload_that_a_crash_cut_off_is_removed_an_hour_after_its_last_write(files: ImportFiles) -> None:
    later = InstantMs(clock.now_ms() + UNFINISHED_MS + 1)
    await look_round(files, lambda: later)
    assert files.ids() == []


async def test_an_upload_that_may_still_arrive_is_let_be(files: ImportFiles) -> None:
    soon = InstantMs(clock.now_ms() + UNFINISHED_MS - 60_000)
    await look_round(files, lambda: soon)
    assert files.ids() == [CUT_OFF]


async def test_a_folder_that_got_no_file_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / EMPTY).mkdir()
    later = InstantMs(clock.now_ms() + UNFINISHED_MS + 1)
    await look_round(ImportFiles(str(tmp_path)), lambda: later)
    assert ImportFiles(str(tmp_path)).ids() == []


async def test_where_no_times_are_kept_nothing_is_removed(files: ImportFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: str) -> NoReturn:
        raise NotImplementedError(path)  # what fsspec raises for a place that keeps no times

    monkeypatch.setattr(files._files, "modified", unknown)
    later = InstantMs(clock.now_ms() + UNFINISHED_MS + 1)
    await look_round(files, lambda: later)
    assert files.ids() == [CUT_OFF]
