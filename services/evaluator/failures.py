"""What fails twice in evaluation is set aside, so that a fault of ours stops neither the log nor the process for ever.

The first time, a failure is remembered in the local store and the process ends: the replay starts from what is
committed and may do better. A record that fails again becomes a dead letter, and so does every other that then fails
at the same place of the code: one fault may hit thousands. Work that no record asked for (a deadline,
a backfill) has none to set aside: where it fails at the same place of the code again, its contact is held as it stands,
the log goes on, and the contact is tried again after a restart, at a write of its own and at every definition.
Rule: nothing of a held contact is forgotten, so once the cause is repaired its changes are those that an unharmed run
would have given.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import NoReturn

from segmentation.definitions import DefinitionLog
from segmentation.model import ContactId, InstantMs
from services.evaluator import rows
from services.evaluator.deadlines import DueContacts
from services.evaluator.ports import InputRecord, Store
from services.runtime.logs import get_logger

HELD_CONTACTS_MAX = 10_000
"""In one partition; beyond it the process ends, for then the fault is not that of some contacts."""

log = get_logger("failures")


class EvaluationError(AssertionError):
    """Our bug: what the core should have decided made it fail. The process stops and replays."""


@dataclass(frozen=True, slots=True)
class Held:
    """Why a contact is held, and its deadline if it has one."""

    reason: str
    due: InstantMs | None


class Failures:
    """The failures of one partition. `failed` are the records at which evaluation failed before the process ended."""

    def __init__(
        self, store: Store, where: str, failed: set[int], definitions: DefinitionLog, due: DueContacts
    ) -> None:
        self.held: dict[ContactId, Held] = {}
        self.alone_are_behind = False
        """Whether a backfill has brought along everybody but the contacts that are held."""
        self._definitions = definitions
        self._due = due
        self._store = store
        self._where = where
        self._failed = failed
        self._proven: set[str] = set()  # the places of the code where a record failed again after a restart

    def at_record(self, record: InputRecord, error: Exception) -> str:
        """Why the record is set aside, if it is known to fail; else remember that and stop: the replay tries again."""
        place = _place(error)
        if record.offset in self._failed:
            self._proven.add(place)
        elif place not in self._proven:
            self._store.write({rows.failed_record_key(record.offset): place.encode()})
            raise EvaluationError(f"{self._where} offset {record.offset} cannot be evaluated") from error
        return "".join(traceback.format_exception(error))

    def at_definition(self, record: InputRecord, error: Exception) -> NoReturn:
        """Stop: one partition never sets a definition aside that others have, so the cause must be repaired."""
        raise EvaluationError(f"{self._where} offset {record.offset}: a definition cannot be placed") from error

    def passed(self, next_offset: int) -> dict[bytes, None]:
        """The rows to delete with the commit of everything before `next_offset`: no replay will come there again."""
        done = {offset for offset in self._failed if offset < next_offset}
        self._failed -= done
        return {rows.failed_record_key(offset): None for offset in done}

    def at_contact(self, contact_id: ContactId, due: InstantMs | None, error: Exception) -> None:
        """Hold the contact if this failure is known, else remember it and stop."""
        reason = "".join(traceback.format_exception(error))
        key = rows.failed_place_key(_place(error))
        if self._store.get_many([key])[0] is None:
            self._store.write({key: reason.encode()})
            raise EvaluationError(f"{self._where}: a contact cannot be brought to the present") from error
        if len(self.held) >= HELD_CONTACTS_MAX:
            raise EvaluationError(f"{self._where}: {HELD_CONTACTS_MAX} contacts are held already") from error
        self.held[contact_id] = Held(reason, due)
        self._definitions.skipped.add(contact_id)
        log.error("a contact is held because its evaluation fails", where=self._where, contact=contact_id, why=reason)

    def release(self, contact_id: ContactId) -> None:
        """The contact has been brought to the present after all, or is gone."""
        if self.held.pop(contact_id, None) is not None:
            self._definitions.skipped.discard(contact_id)
            self.alone_are_behind = False

    def retry(self) -> None:
        """Have every contact that is held tried again."""
        if not self.held:
            return
        held, self.held = self.held, {}
        for contact_id, each in held.items():
            if each.due is not None:
                self._due.look_again(each.due, contact_id)
        self._definitions.retry_skipped()
        self.alone_are_behind = False

    def scan_from(self, scanned: bytes) -> bytes:
        """The key from which deadlines must be looked for after a restart: held ones were passed by, not fired."""
        if not self.held:
            return scanned
        dues = [rows.due_key(each.due, contact_id) for contact_id, each in self.held.items() if each.due is not None]
        return min([scanned, *dues])


def _place(error: Exception) -> str:
    """Where in the code it failed: the same failure of another contact is the same failure."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {last.filename}:{last.lineno}"
