"""What a dry run keeps of earlier rows: bounded, and a file that is too large for it is still tried out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from segmentation.model import AttributeName, ContactId
from services.ingest.imports import earlier_rows as module
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.dry_run import EARLIER_ROWS_UNKNOWN, Attributes, DryRunner
from services.ingest.imports.earlier_rows import EarlierRows, NoRoomError
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.mapping import ColumnMapping, ImportMapping
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import DryRun, ImportState
from tests.unit.imports.uploads import uploaded

LIMIT_BYTES = 256 * 1024
ROWS = 20_000
MAPPING = ImportMapping(id_column="id", columns={"plan": ColumnMapping(attribute="plan")})


class Nobody:
    """No contact is there yet."""

    async def attributes_of(self, _contact_ids: Sequence[ContactId]) -> Mapping[ContactId, Attributes]:
        return {}


@pytest.fixture(autouse=True)
def little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCRATCH_BYTES_MAX", LIMIT_BYTES)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_scratch_file_is_never_larger_than_its_limit_and_goes_at_the_end(tmp_path: Path) -> None:
    with EarlierRows() as earlier:
        earlier.keep({ContactId("first"): {AttributeName("plan"): "pro"}})
        assert earlier.of([ContactId("first"), ContactId("other")]) == {"first": {"plan": "pro"}}
        many = {ContactId(f"c{number}"): {AttributeName("plan"): "pro" * 100} for number in range(ROWS)}
        with pytest.raises(NoRoomError):
            earlier.keep(many)
        (scratch,) = tmp_path.glob("*/rows.db")
        assert scratch.stat().st_size <= LIMIT_BYTES
    assert list(tmp_path.iterdir()) == []


async def tried_out(folder: Path, rows: int) -> DryRun:
    files = ImportFiles(str(folder / "imports"))
    record = uploaded(files, rows, ImportState.CHECKING)
    converter = RowConverter(MAPPING, record.names, record.id)
    found = await DryRunner(Nobody()).run(record, converter, files, Progress(record.bytes_total), lambda: False)
    assert found is not None
    return found


async def test_a_file_whose_rows_cannot_be_kept_is_still_tried_out_and_says_what_it_cannot_tell(tmp_path: Path) -> None:
    small = await tried_out(tmp_path, 100)
    assert (small.would_create, small.would_write, small.would_reject, small.note) == (100, 100, 1, None)
    large = await tried_out(tmp_path, ROWS)
    assert (large.would_write, large.would_reject, large.note) == (ROWS, 1, EARLIER_ROWS_UNKNOWN)
    assert (large.would_create, large.would_update, large.would_leave) == (None, None, None)
