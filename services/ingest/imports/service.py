"""What can be done with imports, step by step: upload, map, try out, commit, cancel, look.

Rule: what an import is lies in its files, so any process can answer for it; a step is allowed by the import's state
alone, and durable before it is answered. The work itself is `workshop.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from segmentation.model import InstantMs
from services.ingest.imports.claims import SETTLED_S
from services.ingest.imports.dialect import DialectChoice
from services.ingest.imports.files import ImportFiles, UnreadableImportError
from services.ingest.imports.inspection import inspect
from services.ingest.imports.intake import Received, UploadRefusedError
from services.ingest.imports.limits import IMPORTS_LISTED_MAX, UPLOADS_ARRIVING_MAX
from services.ingest.imports.mapping import ImportMapping, check_mapping, header_signature
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import ID_PATTERN, Checkpoint, ImportRecord, ImportState
from services.ingest.imports.upload import receive, refusal
from services.ingest.imports.workshop import Workshop, digest_of, mapping_of, wrong_state
from services.runtime.logs import get_logger
from services.runtime.problems import ProblemError, invalid, not_found, unavailable

REPEAT_RECOGNISED_MS: Final = 24 * 3_600_000
"""How long the same file under the same mapping is taken for a repetition, as an idempotency key is."""
_ID: Final = re.compile(ID_PATTERN)
_READY: Final = frozenset({ImportState.UPLOADED, ImportState.CHECKED, ImportState.FAILED})

log = get_logger("imports")


@dataclass
class Sight:
    """An import as it is now."""

    record: ImportRecord
    checkpoint: Checkpoint
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that is kept, under the id that its import will have."""

    import_id: str
    received: Received


@dataclass
class Imports:
    """All imports."""

    files: ImportFiles
    workshop: Workshop
    known_attributes: Callable[[], Collection[str]]
    now_ms: Callable[[], InstantMs]
    arriving: int = 0
    """Uploads that a place was taken for."""

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place among the uploads that arrive, for as long as anything of one is held. Errors: ProblemError 503."""
        if self.arriving >= UPLOADS_ARRIVING_MAX:
            title = f"{UPLOADS_ARRIVING_MAX} files are arriving, as many as may at once"
            raise unavailable("too_many_uploads", title, "send it again in a moment")
        self.arriving += 1
        try:
            yield
        finally:
            self.arriving -= 1

    async def receive(self, parts: AsyncIterator[bytes]) -> Arrived:
        """Keep a file; it is no import before `upload`. Errors: ProblemError."""
        import_id = f"imp_{self.now_ms():011x}{secrets.token_hex(5)}"
        return Arrived(import_id, await receive(parts, self.files, import_id))

    async def forget(self, arrived: Arrived) -> None:
        """Remove a file that becomes no import."""
        await off_loop(self.files.remove, arrived.import_id)

    async def upload(self, arrived: Arrived, name: str, choice: DialectChoice) -> ImportRecord:
        """Look at a file that was kept, and make it an import. Errors: ProblemError."""
        import_id, received = arrived.import_id, arrived.received
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
        """An import as it is now. Errors: ProblemError 404, 503."""
        work = self.workshop.in_hand(import_id)
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
                continue  # An upload that has not arrived whole is not an import yet; nor is what cannot be read.
        more = len(page) > limit
        return sights, (page[limit - 1] if more else None)

    async def set_mapping(self, import_id: str, mapping: ImportMapping) -> ImportRecord:
        """Decide how columns become attributes. Errors: ProblemError 404, 409, 422."""
        async with self.workshop.changing:
            record = await self._ready(import_id, "its mapping can no longer be changed")
            problems = check_mapping(mapping, record.names)
            if problems:
                raise invalid(problems, "the mapping does not fit the file")
            if await off_loop(self.files.checkpoint, import_id) is not None and mapping != record.mapping:
                raise wrong_state(record, "rows are already written under its mapping; cancel it and upload again")
            record.mapping, record.mapping_source = mapping, "given"
            record.state, record.dry_run = ImportState.UPLOADED, None
            await off_loop(self.files.save_record, record)
            return record

    async def dry_run(self, import_id: str) -> ImportRecord:
        """Read the whole file without writing, to say what would happen. Errors: ProblemError 404, 409, 422."""
        async with self.workshop.changing:
            record = await self._ready(import_id, "a dry run comes before the commit")
            mapping_of(record)
            await self.workshop.claim(record)
            record.state, record.dry_run = ImportState.CHECKING, None
            await self.workshop.begin(record)
            return record

    async def commit(self, import_id: str, *, again: bool) -> ImportRecord:
        """Write the rows. The same file under the same mapping is not written twice within a day unless `again`.

        While the first import of the file is still at work, it is the answer, and this one ends as cancelled.
        Errors: ProblemError 404, 409, 422.
        """
        async with self.workshop.changing:
            record = await self._ready(import_id, "it cannot be committed")
            mapping_of(record)
            await self.workshop.claim(record)
            try:
                first = await self._first_of(record, again=again)
            except OSError:
                await self.workshop.let_go(record.id)
                raise
            record.problem, record.started_at = None, record.started_at or self.now_ms()
            if first is None:
                record.state = ImportState.RUNNING
                await self.workshop.begin(record)
                return record
            record.repeat_of = first.id
            ended = ImportState.COMPLETED if first.state is ImportState.COMPLETED else ImportState.CANCELLED
            repetition = await self.workshop.finish(record, ended)
            await self.workshop.let_go(record.id)
            return repetition if first.state is ImportState.COMPLETED else first

    async def cancel(self, import_id: str) -> ImportRecord:
        """Stop at the next row. What is written stays written. Errors: ProblemError 404, 409."""
        async with self.workshop.changing:
            work = self.workshop.in_hand(import_id)
            record = work.record if work is not None else await self._stored(import_id)
            if record.state is ImportState.CANCELLED:
                return record
            if record.state is ImportState.COMPLETED:
                raise wrong_state(record, "it cannot be cancelled any more")
        await self.workshop.cancel(record)
        return await self._stored(import_id)

    async def _stored(self, import_id: str) -> ImportRecord:
        # An id becomes the name of a folder, so only what can be an id is looked for.
        is_id = _ID.fullmatch(import_id) is not None
        try:
            record = await off_loop(self.files.record, import_id) if is_id else None
        except UnreadableImportError as error:
            detail = "a later version of Tidegate may have written it; it is kept as it is"
            raise unavailable("import_unreadable", f"the import {import_id} cannot be read", detail) from error
        if record is None:
            raise not_found("import", import_id)
        return record

    async def _ready(self, import_id: str, otherwise: str) -> ImportRecord:
        """A record that waits for its owner. Errors: ProblemError 404, 409."""
        work = self.workshop.in_hand(import_id)
        record = work.record if work is not None else await self._stored(import_id)
        if work is not None or record.state not in _READY:
            raise wrong_state(record, otherwise)
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

    async def _first_of(self, record: ImportRecord, *, again: bool) -> ImportRecord | None:
        """The import that this one repeats; None if it is the first, which it is from then on. It is claimed."""

        def look_and_remember() -> ImportRecord | None:
            with self.files.alone():
                first = None if again else self._repeated(record)
                if first is None:
                    self.files.remember_written(digest_of(record), record.id)
                return first

        first = await off_loop(look_and_remember)
        if first is not None or again or self.files.has_locks:
            return first
        # Another process may have looked before we wrote: the last to write is the first then.
        await asyncio.sleep(SETTLED_S)
        return await off_loop(self._repeated, record)

    def _repeated(self, record: ImportRecord) -> ImportRecord | None:
        """The import that writes this file in this way, is claimed to do so, or wrote it within the last day."""
        first_id = self.files.written_as(digest_of(record))
        try:
            first = self.files.record(first_id) if first_id is not None else None
        except UnreadableImportError:
            return None
        if first is None or first.id == record.id:
            return None
        if first.state is ImportState.RUNNING:
            return first
        if first.state in _READY and not self.workshop.claims.is_free(first.id):
            return first
        ended_at = first.finished_at if first.state is ImportState.COMPLETED else None
        return first if ended_at is not None and self.now_ms() - ended_at < REPEAT_RECOGNISED_MS else None
