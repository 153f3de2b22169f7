"""Writes the rows of one import to the log, from its last checkpoint to its end, whatever happens in between.

Rule: rows → acknowledged by the broker → report of rejected rows → checkpoint, in this order, each durable before the
next. A run that begins reads back what the log already holds behind its checkpoint and passes over those rows, so a run
that was killed at any point neither loses a row, nor writes one twice, nor puts an older row behind a newer one. A
broker that is away is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from services.ingest.imports.batches import Batch, BatchReader
from services.ingest.imports.bulk_log import BulkLog, BulkLogError
from services.ingest.imports.conversion import ConvertedRow, RowConverter
from services.ingest.imports.errors_report import ErrorGroups, RejectedRow, report_lines
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.limits import CHECKPOINT_BYTES, CHECKPOINT_ROWS, SLICE_ROWS
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import Checkpoint, ImportRecord
from services.ingest.metrics import IMPORT_ROWS
from services.runtime import clock
from services.runtime.logs import get_logger

BACK_OFF_MAX_S: Final = 10.0
PATIENCE_S: Final = 1.0
"""How long the broker may take before an import is shown as waiting for it."""
FOR_BROKER: Final = "for the broker"

Result = TypeVar("Result")


log = get_logger("imports")


class PartitionFor(Protocol):
    """Which partition a record key belongs to."""

    def __call__(self, key: bytes) -> int:
        """The partition of a key."""


class ImportRun:
    """One import at work. `stopped` is asked between slices of rows; a run that stops has saved its checkpoint."""

    def __init__(
        self,
        record: ImportRecord,
        converter: RowConverter,
        files: ImportFiles,
        open_log: Callable[[], BulkLog],
        partition_for: PartitionFor,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> None:
        self._record = record
        self._converter = converter
        self._files = files
        self._open_log = open_log
        self._partition_for = partition_for
        self._progress = progress
        self._stopped = stopped

    async def run(self) -> bool:
        """Work until the file's end; False when stopped before. Errors: OSError from the files."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(BulkLogError),
            wait=wait_random_exponential(multiplier=0.2, max=BACK_OFF_MAX_S),
            stop=lambda _state: self._stopped(),
            before_sleep=self._wait_for_broker,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._from_checkpoint()
        except BulkLogError:
            return False
        raise AssertionError("a retried run neither ends nor raises")

    async def _from_checkpoint(self) -> bool:
        """One attempt, with a connection of its own."""
        async with contextlib.AsyncExitStack() as stack:
            bulk_log = await self._patiently(stack.enter_async_context(self._open_log()))
            checkpoint = await off_loop(self._files.checkpoint, self._record.id)
            if checkpoint is None:
                checkpoint = Checkpoint(offsets=await self._patiently(bulk_log.ends()))
                await off_loop(self._files.save_checkpoint, self._record.id, checkpoint)
            # What was rejected behind it is found again, perhaps between other checkpoints.
            await off_loop(self._files.forget_rejected, self._record.id, checkpoint.row)
            # Whoever was away for long has much of the log to look through.
            written = await self._patiently(bulk_log.rows_since(checkpoint.offsets, self._record.id))
            self._progress.waiting = None
            self._progress.begin(checkpoint, clock.monotonic())
            with self._files.upload(self._record.id) as file:
                reader = await off_loop(BatchReader, file, self._record.dialect, self._converter, checkpoint.place)
                ended = False
                while not ended and not self._stopped():
                    checkpoint, ended = await self._to_next_checkpoint(reader, bulk_log, checkpoint, written)
            return ended

    async def _to_next_checkpoint(
        self, reader: BatchReader, bulk_log: BulkLog, before: Checkpoint, written: dict[int, int]
    ) -> tuple[Checkpoint, bool]:
        """Write the next rows and make them safe; also whether they were the last."""
        rejected: list[RejectedRow] = []
        accepted = blank = held_bytes = 0
        while True:
            place = reader.place
            rows_left = CHECKPOINT_ROWS - (place.row - before.row)
            batch = await off_loop(reader.take, min(SLICE_ROWS, rows_left))
            await self._patiently(bulk_log.append(self._unwritten(batch, written)))
            accepted += len(batch.converted)
            blank += batch.blank
            rejected += batch.rejected
            held_bytes += batch.place.offset - place.offset
            full = batch.place.row - before.row >= CHECKPOINT_ROWS or held_bytes >= CHECKPOINT_BYTES
            if batch.ended or full or self._stopped():
                break
        offsets = before.offsets | await self._patiently(bulk_log.flush())
        groups = ErrorGroups(before.errors)
        for row in rejected:
            groups.add(row)
        after = Checkpoint(
            row=batch.place.row,
            line=batch.place.line,
            offset=batch.place.offset,
            accepted=before.accepted + accepted,
            rejected=before.rejected + len(rejected),
            blank=before.blank + blank,
            offsets=offsets,
            errors=groups.largest_first(),
        )
        await off_loop(self._make_safe, before, after, rejected)
        self._progress.advance(after, clock.monotonic())
        IMPORT_ROWS.labels("accepted").inc(accepted)
        IMPORT_ROWS.labels("rejected").inc(len(rejected))
        return after, batch.ended

    async def _patiently(self, asked: Coroutine[Any, Any, Result]) -> Result:
        """Await the broker as long as it takes, say so when it takes long, and stop waiting when told to."""
        asking = asyncio.create_task(asked)
        while not (await asyncio.wait({asking}, timeout=PATIENCE_S))[0]:
            self._progress.waiting = FOR_BROKER
            if self._stopped():
                asking.cancel()
                await asyncio.wait({asking})
                raise BulkLogError("stopped while waiting for the broker")
        self._progress.waiting = None
        return asking.result()

    def _unwritten(self, batch: Batch, written: dict[int, int]) -> list[ConvertedRow]:
        """The rows that the log does not hold yet."""
        if not written:
            return batch.converted
        return [row for row in batch.converted if row.number > written.get(self._partition_for(row.key), 0)]

    def _make_safe(self, before: Checkpoint, after: Checkpoint, rejected: list[RejectedRow]) -> None:
        if rejected:
            lines = report_lines(rejected, len(self._record.names))
            self._files.save_rejected(self._record.id, before.row, lines)
        self._files.save_checkpoint(self._record.id, after)

    def _wait_for_broker(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        self._progress.waiting = FOR_BROKER
        log.warning("import waits for the broker", import_id=self._record.id, reason=str(error))
