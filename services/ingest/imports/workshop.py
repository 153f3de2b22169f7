"""The work of one process on imports: it carries them out, keeps its claims, and takes over what others left.

Rule: in memory there is only the work in hand; how it ended is durable before it can be seen. One import is worked on
by one process; a process that is told to stop brings each import to a checkpoint and lets go of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.partitioner import partition_for_key
from segmentation.model import InstantMs
from services.ingest.imports.bulk_log import BulkLog
from services.ingest.imports.claims import CLAIM_MS, RENEWED_EVERY_S, SETTLED_S, WRITTEN_WITHIN_S, Claims
from services.ingest.imports.conversion import RowConverter
from services.ingest.imports.dry_run import DryRunner
from services.ingest.imports.files import ImportFiles, UnreadableImportError
from services.ingest.imports.limits import ABANDONED_MS, KEPT_MS, RUNNING_MAX, UNFINISHED_MS
from services.ingest.imports.mapping import ImportMapping, header_signature
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import AT_WORK, FINISHED, ImportProblem, ImportRecord, ImportState
from services.ingest.imports.run import ImportRun
from services.runtime import clock
from services.runtime.logs import get_logger
from services.runtime.problems import ProblemError

log = get_logger("imports")


@dataclass
class Work:
    """An import in hand."""

    record: ImportRecord
    progress: Progress
    cancelled: bool = False
    lost: bool = False
    """Another process has taken the import over."""
    claimed_until_s: float = math.inf
    """By the clock that never goes back. After that another process may work on the import."""
    queued: bool = True
    """It waits for its turn, and has not been told to wait no longer."""
    task: asyncio.Task[None] | None = None

    def is_ours(self) -> bool:
        """Whether no other process may work on it. One that was frozen sees by its claim that another may."""
        return not self.lost and clock.monotonic() <= self.claimed_until_s

    def leave_queue(self) -> None:
        """Wait no longer for a turn that nobody wants any more."""
        if self.queued and self.task is not None:
            self.queued = False
            self.task.cancel()


@dataclass
class Workshop:
    """All work of this process."""

    files: ImportFiles
    open_log: Callable[[Callable[[], bool]], BulkLog]
    """Of an import; it is told how to ask whether the import is surely this process's still."""
    partitions: int
    now_ms: Callable[[], InstantMs]
    dry_runner: DryRunner
    claims: Claims
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while an import changes its state by a decision."""
    _in_hand: dict[str, Work] = field(default_factory=dict)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING_MAX))
    _stopping: bool = False
    _looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with what was running when its process ended. Errors: OSError when the files cannot be used."""
        await off_loop(self.files.prepare)
        await self._look_round()
        self._looking = asyncio.create_task(self._keep_looking(), name="imports")

    async def stop(self) -> None:
        """Let every import reach a checkpoint and rest there."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        for work in self._in_hand.values():
            work.leave_queue()
        tasks = [work.task for work in self._in_hand.values() if work.task is not None]
        await asyncio.gather(*tasks)

    def in_hand(self, import_id: str) -> Work | None:
        """The work on an import, if this process does it."""
        return self._in_hand.get(import_id)

    async def claim(self, record: ImportRecord) -> None:
        """Keep other processes off an import that is to begin. Errors: ProblemError 409 when another has or had it."""
        if not await self._take_claim(record.id):
            raise wrong_state(record, "another process works on it")
        stored = await off_loop(self.files.record, record.id)
        if stored is None or stored.state in AT_WORK | FINISHED:
            # Another process had it from when the caller looked until its claim was given back.
            await self.let_go(record.id)
            raise wrong_state(stored or record, "another process was asked at the same moment")

    async def begin(self, record: ImportRecord) -> None:
        """Carry out what the record's state asks for, once it is claimed."""
        await off_loop(self.files.save_record, record)
        self._begin(record)

    async def cancel(self, record: ImportRecord) -> None:
        """Stop an import, wherever it is worked on; elsewhere that takes a few seconds."""
        work = self._in_hand.get(record.id)
        if work is not None and work.task is not None:
            work.cancelled = True
            work.leave_queue()
            await asyncio.wait({work.task})
        elif record.state in AT_WORK and not await off_loop(self.claims.is_free, record.id):
            # Its process looks at this when it renews its claim.
            asked = record.model_copy(update={"cancel_requested": True})
            await off_loop(self.files.save_record, asked)
        else:
            await self.finish(record, ImportState.CANCELLED)

    def _begin(self, record: ImportRecord) -> None:
        work = self._in_hand[record.id] = Work(record, Progress(record.bytes_total, waiting="for its turn"))
        # The claim was written a moment ago. Whoever is late by as much is late for the next one, too.
        work.claimed_until_s = clock.monotonic() + WRITTEN_WITHIN_S
        work.task = asyncio.create_task(self._carry_out(work), name=f"import {record.id}")

    async def _carry_out(self, work: Work) -> None:
        """Do what the state asks for, and record how it ended."""
        record = work.record
        renewing = asyncio.create_task(self._keep_claim(work), name=f"claim {record.id}")
        try:
            await self._in_turn(work)
        except Exception as error:
            log.error("import failed", import_id=record.id, exc_info=error)
            await self._save_failure(record, error)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            await self.let_go(record.id)
            del self._in_hand[record.id]

    async def _in_turn(self, work: Work) -> None:
        """Do what the state asks for once there is a place for it. Whoever leaves the queue before does nothing."""
        try:
            await self._turn.acquire()
        except asyncio.CancelledError:
            if work.cancelled:
                await self.finish(work.record, ImportState.CANCELLED)
            return
        try:
            work.queued, work.progress.waiting = False, None
            if work.record.state is ImportState.CHECKING:
                await self._check(work)
            else:
                await self._write(work)
        finally:
            self._turn.release()

    async def _keep_claim(self, work: Work) -> None:
        """Keep other processes off an import, and hear what they were asked about it."""
        while not work.lost:
            await asyncio.sleep(RENEWED_EVERY_S)
            try:
                await self._renew_claim(work)
            except (OSError, UnreadableImportError) as error:
                log.warning("a claim cannot be renewed now", import_id=work.record.id, reason=str(error))

    async def _renew_claim(self, work: Work) -> None:
        until_s = clock.monotonic() + WRITTEN_WITHIN_S
        if not await off_loop(self.claims.renew, work.record.id):
            log.warning("another process has taken the import over", import_id=work.record.id)
            work.lost = True
            return
        work.claimed_until_s = until_s
        stored = await off_loop(self.files.record, work.record.id)
        if stored is not None and stored.cancel_requested:
            work.cancelled = True
            work.leave_queue()

    async def let_go(self, import_id: str) -> None:
        """Leave an import to whoever wants it."""
        try:
            await off_loop(self.claims.release, import_id)
        except OSError as error:
            log.warning("a claim stays until it runs out", import_id=import_id, reason=str(error))

    async def _keep_looking(self) -> None:
        """Find, from time to time, imports whose process has gone and files that nobody needs any more."""
        while True:
            await asyncio.sleep(CLAIM_MS / 1000)
            try:
                await self._look_round()
            except OSError as error:
                log.warning("imports cannot be looked through", reason=str(error))

    async def _look_round(self) -> None:
        for import_id in await off_loop(self.files.ids):
            if import_id in self._in_hand:
                continue
            try:
                await self._look_at(import_id)
            except UnreadableImportError as error:
                log.warning("an import is left as it is", import_id=import_id, reason=str(error))

    async def _look_at(self, import_id: str) -> None:
        """Go on with an import that nobody works on, or forget one that nobody needs any more."""
        record = await off_loop(self.files.record, import_id)
        if record is None:
            await self._remove_cut_off(import_id)
        elif record.state in AT_WORK:
            if await self._take_claim(import_id):
                async with self.changing:
                    await self._take_over(import_id)
        elif self._is_outlived(record):
            async with self.changing:
                await self._forget(import_id)

    async def _forget(self, import_id: str) -> None:
        """Remove an import that nobody needs any more, unless somebody has taken it up meanwhile."""
        record = await off_loop(self.files.record, import_id) if import_id not in self._in_hand else None
        if record is not None and record.state not in AT_WORK and self._is_outlived(record):
            await off_loop(self.files.remove, import_id)

    async def _remove_cut_off(self, import_id: str) -> None:
        """Remove an upload whose process ended before the import had a record. One that still arrives is let be."""
        written_at = await off_loop(self.files.last_write, import_id)
        if written_at is not None and self.now_ms() - written_at > UNFINISHED_MS:
            await off_loop(self.files.remove, import_id)
            log.info("an upload that was cut off is removed", import_id=import_id)

    async def _take_claim(self, import_id: str) -> bool:
        """Claim an import. Several may try at the same moment: without locks the last to claim it has it."""
        if not await off_loop(self.claims.take, import_id):
            return False
        if self.files.has_locks:
            return True
        await asyncio.sleep(SETTLED_S)
        return await off_loop(self.claims.holds, import_id)

    async def _take_over(self, import_id: str) -> None:
        """Go on with an import that was claimed, unless it has ended meanwhile."""
        record = await off_loop(self.files.record, import_id) if import_id not in self._in_hand else None
        if record is None or record.state not in AT_WORK:
            return
        if record.cancel_requested:
            await self.finish(record, ImportState.CANCELLED)
        else:
            log.info("import goes on", import_id=import_id)
            self._begin(record)

    def _is_outlived(self, record: ImportRecord) -> bool:
        kept_since = record.finished_at if record.finished_at is not None else record.created_at
        return self.now_ms() - kept_since > (KEPT_MS if record.state in FINISHED else ABANDONED_MS)

    async def _check(self, work: Work) -> None:
        record = work.record
        converter = RowConverter(mapping_of(record), record.names, record.id)
        found = await self.dry_runner.run(record, converter, self.files, work.progress, lambda: self._halts(work))
        if work.cancelled:
            await self.finish(record, ImportState.CANCELLED)
        elif found is not None:
            update = {"state": ImportState.CHECKED, "dry_run": found, "rows_total": found.rows_total}
            await off_loop(self.files.save_record, record.model_copy(update=update))

    async def _write(self, work: Work) -> None:
        record = work.record
        mapping = mapping_of(record)
        await off_loop(self.files.remember_mapping, header_signature(record.names), mapping.model_dump_json().encode())
        run = ImportRun(
            record,
            RowConverter(mapping, record.names, record.id),
            self.files,
            lambda: self.open_log(work.is_ours),
            lambda key: partition_for_key(key, self.partitions),
            work.progress,
            lambda: self._halts(work),
        )
        ended = await run.run()
        if ended:
            record.rows_total = work.progress.checkpoint.accepted + work.progress.checkpoint.rejected
            await self.finish(record, ImportState.COMPLETED)
        elif work.cancelled:
            await self.finish(record, ImportState.CANCELLED)

    def _halts(self, work: Work) -> bool:
        """Whether to go no further."""
        return self._stopping or work.cancelled or not work.is_ours()

    async def finish(self, record: ImportRecord, state: ImportState) -> ImportRecord:
        """End an import for good; the uploaded file is not needed any more."""
        ended = record.model_copy(update={"state": state, "finished_at": self.now_ms()})
        await off_loop(self.files.save_record, ended)
        await off_loop(self.files.remove_upload, record.id)
        log.info("import ended", import_id=record.id, state=state.value)
        return ended

    async def _save_failure(self, record: ImportRecord, error: Exception) -> None:
        """Keep why an import failed. A place that takes not even that is tried again when this process looks round."""
        failed = record.model_copy(update={"state": ImportState.FAILED, "problem": _problem_of(error)})
        try:
            await off_loop(self.files.save_record, failed)
        except OSError as also:
            log.error("the failure of an import cannot be kept", import_id=record.id, reason=str(also))


def wrong_state(record: ImportRecord, detail: str) -> ProblemError:
    """A step that the import's state does not allow."""
    ended = "has ended" if record.state in FINISHED else "is at work"
    return ProblemError(409, "wrong_state", f"the import {ended}: its state is {record.state.value}", detail)


def mapping_of(record: ImportRecord) -> ImportMapping:
    """The mapping that was decided. Errors: ProblemError 409 when none was."""
    if record.mapping is None:
        hint = "PUT a mapping first, or give id_column with the upload"
        raise ProblemError(409, "no_mapping", "nobody has said which column holds the contact id", hint)
    return record.mapping


def digest_of(record: ImportRecord) -> str:
    """What makes two imports write the same records: the bytes, how they are read, and the mapping."""
    mapping = mapping_of(record).model_dump_json()
    return hashlib.sha256("\n".join((record.sha256, record.dialect.model_dump_json(), mapping)).encode()).hexdigest()


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
