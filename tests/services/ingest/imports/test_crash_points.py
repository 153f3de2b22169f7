"""A run that ends at the worst moments, on a real broker: the next run finds out what is written and goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

import orjson
import pytest

from schemas.partitioner import partition_for_key
from schemas.topics import Topic, topic_name
from segmentation.model import InstantMs
from services.ingest.imports.bulk_log import BulkLogError, KafkaBulkLog
from services.ingest.imports.conversion import ConvertedRow, RowConverter
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.mapping import ColumnMapping, ImportMapping
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import Checkpoint, ImportRecord, ImportState
from services.ingest.imports.rows import Row
from services.ingest.imports.run import ImportRun
from services.ingest.settings import IngestSettings
from services.runtime.kafka import client_options
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import read_all

pytestmark = pytest.mark.broker

ROWS = 12_000
CONTACTS = 500
MAPPING = ImportMapping(id_column="id", columns={"step": ColumnMapping(attribute="step")})


class CrashError(BaseException):
    """Stands for the end of the process: nothing of ours runs after it but the closing of files."""


class CrashingFiles(ImportFiles):
    """Files that crash just before one checkpoint is written."""

    def __init__(self, url: str, crash_at: int) -> None:
        super().__init__(url)
        self._left = crash_at

    def save_checkpoint(self, import_id: str, checkpoint: Checkpoint) -> None:
        self._left -= 1
        if self._left == 0:
            raise CrashError
        super().save_checkpoint(import_id, checkpoint)


class CrashingLog:
    """The real log, which crashes in the middle of a flush: part of the rows are written, nobody was told."""

    def __init__(self, log: KafkaBulkLog, rows_written: int, error: BaseException) -> None:
        self._log = log
        self._left = rows_written
        self._error = error

    async def __aenter__(self) -> Self:
        await self._log.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._log.__aexit__(kind, error, trace)

    async def ends(self) -> dict[int, int]:
        return await self._log.ends()

    async def rows_since(self, offsets: Mapping[int, int], import_id: str) -> dict[int, int]:
        return await self._log.rows_since(offsets, import_id)

    async def append(self, rows: Iterable[ConvertedRow]) -> None:
        taken = list(rows)
        await self._log.append(taken[: self._left])
        self._left -= min(self._left, len(taken))

    async def flush(self) -> dict[int, int]:
        behind = await self._log.flush()
        if self._left == 0:
            raise self._error
        return behind


class Workshop:
    """One import, run again and again with fresh objects over the same files and log."""

    def __init__(self, settings: IngestSettings) -> None:
        self.settings = settings
        self.url = str(settings.data_dir / "imports")
        self.record = ImportRecord(
            id="imp_0000000042",
            name="steps.csv",
            state=ImportState.RUNNING,
            created_at=InstantMs(0),
            sha256="",
            bytes_sent=0,
            bytes_total=0,
            dialect=Dialect(encoding="utf-8", encoding_sure=True, delimiter=",", line_end="\n", header=True),
            names=["id", "step"],
            columns=[],
            mapping=MAPPING,
        )
        files = ImportFiles(self.url)
        files.prepare()
        with files.new_upload(self.record.id) as file:
            file.write(b"id,step\n" + b"".join(b"c%d,%d\n" % (row % CONTACTS, row) for row in range(ROWS)))

    def log(self) -> KafkaBulkLog:
        topic = topic_name(self.settings.topic_prefix, Topic.CONTACT_CHANGES)
        return KafkaBulkLog(client_options(self.settings), topic, self.settings.partitions, lambda: True)

    def run(self, files: ImportFiles, log: CrashingLog | None = None) -> ImportRun:
        logs = iter([log] if log is not None else [])
        return ImportRun(
            self.record,
            RowConverter(MAPPING, self.record.names, self.record.id),
            files,
            lambda: next(logs, None) or self.log(),
            lambda key: partition_for_key(key, self.settings.partitions),
            Progress(0),
            lambda: False,
        )

    async def steps(self) -> list[list[str]]:
        """The rows on the log, partition by partition."""
        steps: dict[int, list[str]] = {}
        for record in await read_all(self.settings, Topic.CONTACT_CHANGES):
            steps.setdefault(record.partition, []).append(orjson.loads(record.value)["attributes"]["step"])
        return list(steps.values())

    async def assert_each_row_once_in_order(self) -> None:
        steps = [[int(step) for step in partition] for partition in await self.steps()]
        assert sorted(step for partition in steps for step in partition) == list(range(ROWS))
        assert all(partition == sorted(partition) for partition in steps)


@pytest.fixture
async def workshop(ingest_settings: IngestSettings) -> Workshop:
    await ensure_topics(ingest_settings)
    return Workshop(ingest_settings)


async def test_rows_that_were_acknowledged_before_a_crash_are_not_written_again(workshop: Workshop) -> None:
    for crash_at in (2, 1):  # Behind the first rows; then, the run having begun anew, behind the next ones.
        with pytest.raises(CrashError):
            await workshop.run(CrashingFiles(workshop.url, crash_at)).run()
    assert await workshop.run(ImportFiles(workshop.url)).run()
    await workshop.assert_each_row_once_in_order()


async def test_rows_of_a_crash_in_the_middle_of_a_flush_are_completed_in_order(workshop: Workshop) -> None:
    for rows_written in (1_234, 3_210, 7):
        log = CrashingLog(workshop.log(), rows_written, CrashError())
        with pytest.raises(CrashError):
            await workshop.run(ImportFiles(workshop.url), log).run()
    assert await workshop.run(ImportFiles(workshop.url)).run()
    await workshop.assert_each_row_once_in_order()


async def test_a_broker_that_does_not_acknowledge_is_tried_again_by_the_same_run(workshop: Workshop) -> None:
    log = CrashingLog(workshop.log(), 2_500, BulkLogError("no answer"))
    assert await workshop.run(ImportFiles(workshop.url), log).run()
    await workshop.assert_each_row_once_in_order()


async def test_records_of_others_that_name_the_import_are_not_taken_for_its_rows(workshop: Workshop) -> None:
    with pytest.raises(CrashError):
        await workshop.run(CrashingFiles(workshop.url, 2)).run()
    impostor = RowConverter(MAPPING, workshop.record.names, "imp_0000000043")
    async with workshop.log() as log:
        row = impostor.convert(Row(99_999, 1, ["c1", workshop.record.id]))
        assert isinstance(row, ConvertedRow)
        await log.append([row])
        await log.flush()
    assert await workshop.run(ImportFiles(workshop.url)).run()
    steps = [step for partition in await workshop.steps() for step in partition]
    assert steps.count(workshop.record.id) == 1
    assert sorted(int(step) for step in steps if step != workshop.record.id) == list(range(ROWS))
