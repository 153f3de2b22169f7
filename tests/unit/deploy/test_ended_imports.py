"""What `tidegate admin clear-erased --imports` removes is what ingest keeps, wherever it keeps it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.workspace.ended_imports import UNFINISHED_MS, imports_place, remove_ended
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.settings import OperatorSettings
from segmentation.model import InstantMs
from services.ingest.imports import limits
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.records import ImportRecord, ImportState
from services.runtime import clock

ENDED = {ImportState.COMPLETED, ImportState.FAILED, ImportState.CANCELLED}


@pytest.fixture(params=["folder", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "kept") if request.param == "folder" else f"memory://kept-{uuid4().hex}"


def keep(files: ImportFiles, state: ImportState) -> str:
    """An import in a state, with a rejected row; its id."""
    record = ImportRecord(
        id=f"imp_{uuid4().hex[:20]}",
        name="people.csv",
        state=state,
        created_at=InstantMs(0),
        sha256="00",
        bytes_sent=1,
        bytes_total=1,
        dialect=Dialect(encoding="utf-8", encoding_sure=True, delimiter=",", line_end="\n", header=True),
        names=["id"],
        columns=[],
    )
    with files.new_upload(record.id) as upload:
        upload.write(b"id\nu1\n")
    files.save_record(record)
    files.save_rejected(record.id, 2, b"u1,a value\n")
    return record.id


def test_ended_imports_go_and_those_at_work_stay(place: str) -> None:
    files = ImportFiles(place)
    files.prepare()
    kept = {state: keep(files, state) for state in ImportState}
    assert remove_ended(place, clock.now_ms()) == len(ENDED)
    assert set(files.ids()) == {kept[state] for state in ImportState if state not in ENDED}
    assert remove_ended(place, clock.now_ms()) == 0


def test_a_place_that_cannot_be_cleared_is_told_without_its_password() -> None:
    with pytest.raises(OperationRefusedError) as refusal:
        remove_ended("nosuch://user:canary-pw@host/imports", clock.now_ms())
    assert "nosuch://…@host/imports cannot be cleared" in str(refusal.value)
    assert "canary-pw" not in str(refusal.value)


def test_an_upload_that_was_cut_off_goes_when_nothing_was_written_to_it_for_an_hour(place: str) -> None:
    files = ImportFiles(place)
    files.prepare()
    with files.new_upload("imp_0000000001") as upload:
        upload.write(b"id\nu1\n")
    files.remember_mapping("signature", b"{}")
    waiting = keep(files, ImportState.UPLOADED)
    now_ms = clock.now_ms()
    assert remove_ended(place, now_ms) == 0
    assert remove_ended(place, InstantMs(now_ms + UNFINISHED_MS + 1)) == 1
    assert files.ids() == [waiting]
    assert files.remembered_mapping("signature") == b"{}"


def test_an_upload_is_taken_for_cut_off_when_ingest_takes_it_so() -> None:
    assert UNFINISHED_MS == limits.UNFINISHED_MS


def test_where_nothing_was_ever_imported_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_ended(str(tmp_path / "never"), clock.now_ms()) == 0


def test_a_place_that_cannot_be_reached_is_said_and_not_counted_as_empty() -> None:
    with pytest.raises(OperationRefusedError, match="TIDEGATE_IMPORTS_URL nowhere://x cannot be cleared"):
        remove_ended("nowhere://x", clock.now_ms())


def test_the_place_is_the_one_that_the_services_variable_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEGATE_DATA_DIR", str(tmp_path))
    assert imports_place(OperatorSettings()) == str(tmp_path / "imports")
    monkeypatch.setenv("TIDEGATE_IMPORTS_URL", "s3://bucket/imports")
    assert imports_place(OperatorSettings()) == "s3://bucket/imports"
