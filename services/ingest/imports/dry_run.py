"""Reads a whole file as an import would, writes nothing, and says what would happen to each row.

Rule: the same reader and converter as the import, so what it rejects is what the import rejects. What a row would do to
its contact follows from the contact's present attributes and from the earlier rows of the file; when the contacts
cannot be asked, or the earlier rows not be kept, it says so and guesses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from segmentation.model import AttributeName, ContactId, Value
from services.ingest.imports.batches import BatchReader
from services.ingest.imports.conversion import ConvertedRow, RowConverter
from services.ingest.imports.earlier_rows import EarlierRows, NoRoomError
from services.ingest.imports.errors_report import ErrorGroups, RejectedRow, report_lines
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.limits import DRY_RUN_ROWS
from services.ingest.imports.lines import Place
from services.ingest.imports.offloading import off_loop
from services.ingest.imports.progress import Progress
from services.ingest.imports.records import Checkpoint, DryRun, ImportRecord
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

NO_ROWS: Final = (
    "there is no row below the header, so nothing would be written; "
    "if the first row is a contact, put a header above it"
)
CONTACTS_UNKNOWN: Final = "the contacts could not be asked, so create, update and leave are unknown until committed"
EARLIER_ROWS_UNKNOWN: Final = "the file is too large for create, update and leave to be told before it is committed"

log = get_logger("imports")

Attributes = Mapping[AttributeName, Value]


class ContactsUnavailableError(ServiceError):
    """The owners of the contacts do not answer."""


class ContactLookup(Protocol):
    """Where the present attributes of contacts are read."""

    async def attributes_of(self, contact_ids: Sequence[ContactId]) -> Mapping[ContactId, Attributes]:
        """The attributes of those contacts that exist. Errors: ContactsUnavailableError."""


@dataclass(slots=True)
class _Effects:
    """What the rows so far would do."""

    create: int = 0
    update: int = 0
    leave: int = 0


class DryRunner:
    """Carries out dry runs."""

    def __init__(self, contacts: ContactLookup) -> None:
        self._contacts = contacts

    async def run(
        self,
        record: ImportRecord,
        converter: RowConverter,
        files: ImportFiles,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> DryRun | None:
        """What a commit would do; None when stopped before the end. Errors: OSError."""
        found = DryRun()
        groups = ErrorGroups()
        effects: _Effects | str = _Effects()
        await off_loop(files.forget_tried, record.id)
        progress.begin(Checkpoint(), clock.monotonic())
        with EarlierRows() as earlier, files.upload(record.id) as file:
            reader = await off_loop(BatchReader, file, record.dialect, converter, Place())
            ended = False
            while not ended:
                if stopped():
                    return None
                first_row = reader.place.row
                batch = await off_loop(reader.take, DRY_RUN_ROWS)
                ended = batch.ended
                found.would_write += len(batch.converted)
                found.blank_rows += batch.blank
                await self._reject(record, files, found, groups, batch.rejected, first_row)
                if isinstance(effects, _Effects):
                    effects = await self._judge(effects, batch.converted, earlier)
                place = batch.place
                progress.advance(
                    Checkpoint(
                        row=place.row,
                        line=place.line,
                        offset=place.offset,
                        accepted=found.would_write,
                        rejected=found.would_reject,
                    ),
                    clock.monotonic(),
                )
        found.rows_total = found.would_write + found.would_reject
        found.errors = groups.largest_first()
        if isinstance(effects, str):
            found.note = effects
        else:
            found.note = None if found.rows_total else NO_ROWS
            found.would_create, found.would_update, found.would_leave = effects.create, effects.update, effects.leave
        return found

    async def _reject(
        self,
        record: ImportRecord,
        files: ImportFiles,
        found: DryRun,
        groups: ErrorGroups,
        rejected: list[RejectedRow],
        first_row: int,
    ) -> None:
        """Count rejected rows and keep their report, so that it can be had before anything is written."""
        if not rejected:
            return
        found.would_reject += len(rejected)
        for row in rejected:
            groups.add(row)
        lines = await off_loop(report_lines, rejected, len(record.names))
        await off_loop(files.save_tried_rejected, record.id, first_row, lines)

    async def _judge(self, effects: _Effects, rows: list[ConvertedRow], earlier: EarlierRows) -> _Effects | str:
        """Add what these rows would do; why that cannot be told any more."""
        try:
            return await self._judged(effects, rows, earlier)
        except ContactsUnavailableError as error:
            log.warning("contacts cannot be asked by a dry run", reason=str(error))
            return CONTACTS_UNKNOWN
        except NoRoomError as error:
            log.warning("a dry run cannot keep what earlier rows made of their contacts", reason=str(error))
            return EARLIER_ROWS_UNKNOWN

    async def _judged(self, effects: _Effects, rows: list[ConvertedRow], earlier: EarlierRows) -> _Effects:
        """The same with what these rows would do. Errors: ContactsUnavailableError, NoRoomError."""
        ids = list(dict.fromkeys(row.contact_id for row in rows))
        known: dict[ContactId, dict[AttributeName, Value]] = await off_loop(earlier.of, ids)
        asked = [contact_id for contact_id in ids if contact_id not in known]
        for contact_id, attributes in (await self._contacts.attributes_of(asked)).items():
            known[contact_id] = dict(attributes)
        changed: dict[ContactId, dict[AttributeName, Value]] = {}
        for row in rows:
            before = known.get(row.contact_id)
            after = _merged(before or {}, row.attributes)
            if before is None:
                effects.create += 1
            elif after == before:
                effects.leave += 1
            else:
                effects.update += 1
            known[row.contact_id] = changed[row.contact_id] = after
        await off_loop(earlier.keep, changed)
        return effects


def _merged(before: Attributes, changes: Mapping[AttributeName, Value | None]) -> dict[AttributeName, Value]:
    """A contact's attributes after a write of a row."""
    after = {name: value for name, value in before.items() if changes.get(name, value) is not None}
    after.update((name, value) for name, value in changes.items() if value is not None)
    return after
