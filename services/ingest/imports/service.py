"""The imports of one ingest process: from upload to last row, one state after the other, surviving its restarts.

Rule: what an import is lies in its files; in memory there is only the work in hand. Each change of state is durable
before it can be seen. At start, imports that were running go on from their checkpoints.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from schemas.partitioner import partition_for_key
from segmentation.errors import Problem
from segmentation.model import InstantMs
from services.ingest.imports.bulk_log import BulkLog
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.dialect import DialectChoice
from services.ingest.imports.dry_run import DryRunner
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.inspection import inspect
from services.ingest.imports.intake import UploadRefusedError
from services.ingest.imports.limits import IMPORTS_LISTED_MAX, RUNNING_MAX
from services.ingest.imports.mapping import ImportMapping, check_mapping, header_signature
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import (
    FINISHED,
    Checkpoint,
    ImportProblem,
    ImportRecord,
    ImportState,
)
from services.ingest.imports.run import ImportRun
from services.ingest.imports.upload import receive, refusal
from services.ingest.problems import ProblemError, invalid, not_found
from services.runtime.logs import get_logger

REPEAT_RECOGNISED_MS: Final = 24 * 3_600_000
"""How long the same file under the same mapping is taken for a repetition, as an idempotency key is."""
_READY: Final = frozenset({ImportState.UPLOADED, ImportState.CHECKED, ImportState.FAILED})

log = get_logger("imports")


@dataclass
class _Work:
    """An import in hand."""

    record: ImportRecord
    progress: Progress
    cancelled: bool = False
    task: asyncio.Task[None] | None = None


@dataclass
class Sight:
    """An import as it is now."""

    record: ImportRecord
    checkpoint: Checkpoint
    progress: Progress | None = None


@dataclass
class Imports:
    """All imports, and the work of this process on them."""

    files: ImportFiles
    open_log: Callable[[], BulkLog]
    partitions: int
    known_attributes: Callable[[], Collection[str]]
    now_ms: Callable[[], InstantMs]
    dry_runner: DryRunner
    _work: dict[str, _Work] = field(default_factory=dict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING_MAX))
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stopping: bool = False

    async def start(self) -> None:
        """Go on with what was running when the process ended. Errors: OSError when the files cannot be used."""
        await off_loop(self.files.prepare)
        for import_id in await off_loop(self.files.ids):
            record = await off_loop(self.files.record, import_id)
            if record is None:
                continue
            if record.state is ImportState.RUNNING:
                log.info("import goes on", import_id=record.id)
                self._begin(record)
            elif record.state is ImportState.CHECKING:
                record.state = ImportState.UPLOADED
                await off_loop(self.files.save_record, record)

    async def stop(self) -> None:
        """Let every import reach a checkpoint and rest there."""
        self._stopping = True
        tasks = [work.task for work in self._work.values() if work.task is not None]
        await asyncio.gather(*tasks)

    async def upload(self, parts: AsyncIterator[bytes], name: str, choice: DialectChoice) -> ImportRecord:
        """Keep a file and look at it. Errors: ProblemError."""
        import_id = f"imp_{self.now_ms():011x}{secrets.token_hex(5)}"
        received = await receive(parts, self.files, import_id)
        try:
            seen = await off_loop(inspect, received, choice, self.known_attributes())
        except UploadRefusedError as error:
            await off_loop(self.files.remove, import_id)
            raise refusal(error) from error
        record = ImportRecord(
            id=import_id,
            name=name,
            state=ImportState.UPLOADED,
            created_at=self.now_ms(),
            sha256=received.sha256,
            bytes_sent=received.bytes_sent,
            bytes_total=received.bytes_kept,
            dialect=seen.dialect,
            names=seen.names,
            columns=seen.columns,
            suggested_id_column=seen.id_column,
        )
        record.mapping = await off_loop(self._remembered, record)
        record.mapping_source = "remembered" if record.mapping is not None else None
        await off_loop(self.files.save_record, record)
        log.info("file uploaded", import_id=import_id, bytes=received.bytes_kept, columns=len(seen.names))
        return record

    async def get(self, import_id: str) -> Sight:
        """An import as it is now. Errors: ProblemError 404."""
        work = self._work.get(import_id)
        if work is not None:
            return Sight(work.record, work.progress.checkpoint, work.progress)
        record = await self._stored(import_id)
        checkpoint = await off_loop(self.files.checkpoint, import_id)
        return Sight(record, checkpoint if checkpoint is not None else Checkpoint())

    async def page(self, limit: int, before: str | None) -> tuple[list[Sight], str | None]:
        """A page of imports, newest first, and where the next page begins."""
        ids = await off_loop(self.files.ids)
        page = [import_id for import_id in ids if before is None or import_id < before]
        sights = []
        for import_id in page[: min(limit, IMPORTS_LISTED_MAX)]:
            try:
                sights.append(await self.get(import_id))
            except ProblemError:
                continue  # An upload that has not arrived whole is not an import yet.
        more = len(page) > limit
        return sights, (page[limit - 1] if more else None)

    async def set_mapping(self, import_id: str, mapping: ImportMapping) -> ImportRecord:
        """Decide how columns become attributes. Errors: ProblemError 404, 409, 422."""
        async with self._changing:
            record = await self._ready(import_id, "its mapping can no longer be changed")
            problems = check_mapping(mapping, record.names)
            if problems:
                raise invalid(problems, "the mapping does not fit the file")
            if await off_loop(self.files.checkpoint, import_id) is not None and mapping != record.mapping:
                raise _wrong_state(record, "rows are already written under its mapping; cancel it and upload again")
            record.mapping, record.mapping_source = mapping, "given"
            record.state, record.dry_run = ImportState.UPLOADED, None
            await off_loop(self.files.save_record, record)
            return record

    async def dry_run(self, import_id: str) -> ImportRecord:
        """Read the whole file without writing, to say what would happen. Errors: ProblemError 404, 409, 422."""
        async with self._changing:
            record = await self._ready(import_id, "a dry run comes before the commit")
            _mapping_of(record)
            record.state, record.dry_run = ImportState.CHECKING, None
            await off_loop(self.files.save_record, record)
            self._begin(record)
            return record

    async def commit(self, import_id: str, *, again: bool) -> ImportRecord:
        """Write the rows. The same file under the same mapping is not written twice within a day unless `again`.

        Errors: ProblemError 404, 409, 422.
        """
        async with self._changing:
            record = await self._ready(import_id, "it cannot be committed")
            _mapping_of(record)
            first = None if again else await off_loop(self._repeated, record)
            record.problem, record.started_at = None, record.started_at or self.now_ms()
            if first is not None:
                record.repeat_of = first
                return await self._finish(record, ImportState.COMPLETED)
            record.state = ImportState.RUNNING
            await off_loop(self.files.save_record, record)
            self._begin(record)
            return record

    async def cancel(self, import_id: str) -> ImportRecord:
        """Stop at the next row. What is written stays written. Errors: ProblemError 404, 409."""
        async with self._changing:
            work = self._work.get(import_id)
            record = work.record if work is not None else await self._stored(import_id)
            if record.state is ImportState.CANCELLED:
                return record
            if record.state is ImportState.COMPLETED:
                raise _wrong_state(record, "it cannot be cancelled any more")
        if work is not None and work.task is not None:
            work.cancelled = True
            await asyncio.wait({work.task})
            return await self._stored(import_id)
        return await self._finish(record, ImportState.CANCELLED)

    def _begin(self, record: ImportRecord) -> None:
        work = self._work[record.id] = _Work(record, Progress(record.bytes_total, waiting="for its turn"))
        work.task = asyncio.create_task(self._carry_out(work), name=f"import {record.id}")

    async def _carry_out(self, work: _Work) -> None:
        """Do what the state asks for, and record how it ended."""
        record = work.record
        try:
            async with self._turn:
                work.progress.waiting = None
                if record.state is ImportState.CHECKING:
                    await self._check(work)
                else:
                    await self._write(work)
        except Exception as error:
            log.error("import failed", import_id=record.id, exc_info=error)
            failed = record.model_copy(update={"state": ImportState.FAILED, "problem": _problem_of(error)})
            await off_loop(self.files.save_record, failed)
        finally:
            del self._work[record.id]

    async def _check(self, work: _Work) -> None:
        record = work.record
        converter = RowConverter(_mapping_of(record), record.names, record.id)
        found = await self.dry_runner.run(record, converter, self.files, work.progress, lambda: self._halts(work))
        if work.cancelled:
            await self._finish(record, ImportState.CANCELLED)
            return
        after = record.model_copy(update={"state": ImportState.UPLOADED})
        if found is not None:
            update = {"state": ImportState.CHECKED, "dry_run": found, "rows_total": found.rows_total}
            after = record.model_copy(update=update)
        await off_loop(self.files.save_record, after)

    async def _write(self, work: _Work) -> None:
        record = work.record
        mapping = _mapping_of(record)
        await off_loop(self.files.remember_mapping, header_signature(record.names), mapping.model_dump_json().encode())
        run = ImportRun(
            record,
            RowConverter(mapping, record.names, record.id),
            self.files,
            self.open_log,
            lambda key: partition_for_key(key, self.partitions),
            work.progress,
            lambda: self._halts(work),
        )
        ended = await run.run()
        if ended:
            record.rows_total = work.progress.checkpoint.accepted + work.progress.checkpoint.rejected
            await off_loop(self.files.remember_completed, _digest(record), record.id)
            await self._finish(record, ImportState.COMPLETED)
        elif work.cancelled:
            await self._finish(record, ImportState.CANCELLED)

    def _halts(self, work: _Work) -> bool:
        return self._stopping or work.cancelled

    async def _finish(self, record: ImportRecord, state: ImportState) -> ImportRecord:
        """End an import for good; the uploaded file is not needed any more."""
        ended = record.model_copy(update={"state": state, "finished_at": self.now_ms()})
        await off_loop(self.files.save_record, ended)
        await off_loop(self.files.remove_upload, record.id)
        log.info("import ended", import_id=record.id, state=state.value)
        return ended

    async def _stored(self, import_id: str) -> ImportRecord:
        record = await off_loop(self.files.record, import_id) if import_id.startswith("imp_") else None
        if record is None or "/" in import_id:
            raise not_found("import", import_id)
        return record

    async def _ready(self, import_id: str, otherwise: str) -> ImportRecord:
        """A record that waits for its owner. Errors: ProblemError 404, 409."""
        work = self._work.get(import_id)
        record = work.record if work is not None else await self._stored(import_id)
        if work is not None or record.state not in _READY:
            raise _wrong_state(record, otherwise)
        return record

    def _remembered(self, record: ImportRecord) -> ImportMapping | None:
        """The mapping last used for this header, if it still fits."""
        content = self.files.remembered_mapping(header_signature(record.names))
        if content is None:
            return None
        try:
            mapping = ImportMapping.model_validate_json(content)
        except ValidationError as error:
            log.warning("a remembered mapping is unreadable and not used", reason=str(error))
            return None
        return mapping if not check_mapping(mapping, record.names) else None

    def _repeated(self, record: ImportRecord) -> str | None:
        """The import that wrote this file in this way within the last day."""
        first_id = self.files.completed_as(_digest(record))
        first = self.files.record(first_id) if first_id is not None else None
        if first is None or first.finished_at is None or first.id == record.id:
            return None
        return first.id if self.now_ms() - first.finished_at < REPEAT_RECOGNISED_MS else None


def _mapping_of(record: ImportRecord) -> ImportMapping:
    if record.mapping is None:
        hint = "PUT a mapping first, or give id_column with the upload"
        raise invalid(
            (Problem("no_mapping", "nobody has said which column holds the contact id", hint, pointer="/id_column"),)
        )
    return record.mapping


def _digest(record: ImportRecord) -> str:
    """What makes two imports write the same records: the bytes, how they are read, and the mapping."""
    mapping = _mapping_of(record).model_dump_json()
    return hashlib.sha256("\n".join((record.sha256, record.dialect.model_dump_json(), mapping)).encode()).hexdigest()


def _wrong_state(record: ImportRecord, detail: str) -> ProblemError:
    ended = "has ended" if record.state in FINISHED else "is at work"
    return ProblemError(409, "wrong_state", f"the import {ended}: its state is {record.state.value}", detail)


def _problem_of(error: Exception) -> ImportProblem:
    if isinstance(error, OSError):
        return ImportProblem(
            code="files_unusable",
            message=f"the import's files could not be used: {error.strerror or type(error).__name__}",
            fix="make room or repair access, then commit again: it goes on from its last checkpoint",
        )
    return ImportProblem(
        code="defect",
        message="this is our fault; our logs name it",
        fix="commit again to go on from the last checkpoint",
    )
