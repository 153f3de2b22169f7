"""A run that goes on where another was cut off between its report of rejected rows and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.ingest.imports import run as module
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.mapping import ImportMapping
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import Checkpoint, ImportState
from services.ingest.imports.run import ImportRun
from tests.unit.imports.test_claims import HeldLog
from tests.unit.imports.uploads import uploaded

GOOD_ROWS = 9
MAPPING = ImportMapping(id_column="id", columns={})


async def test_a_row_that_was_rejected_behind_the_last_checkpoint_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ImportFiles(str(tmp_path))
    record = uploaded(files, GOOD_ROWS, ImportState.RUNNING)
    converter, log, save = RowConverter(MAPPING, record.names, record.id), HeldLog(), files.save_checkpoint
    log.let_go.set()

    async def run() -> bool:
        progress = Progress(record.bytes_total)
        return await ImportRun(record, converter, files, lambda: log, lambda _key: 0, progress, lambda: False).run()

    def full(import_id: str, checkpoint: Checkpoint) -> None:
        if checkpoint.row:
            raise OSError(28, "No space left on device")
        save(import_id, checkpoint)

    with monkeypatch.context() as patched:
        patched.setattr(files, "save_checkpoint", full)
        with pytest.raises(OSError, match="No space left"):
            await run()
    # The next one comes to checkpoints at other rows, as one does that is told to stop.
    monkeypatch.setattr(module, "CHECKPOINT_ROWS", 4)
    assert await run()
    checkpoint = files.checkpoint(record.id)
    assert checkpoint is not None
    assert checkpoint.rejected == 1
    assert b"".join(files.rejected(record.id, checkpoint.row + 1)).count(b"\r\n") == 1
