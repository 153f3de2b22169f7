"""Who changed what, durably: an append-only file of JSON lines, shared by the processes of one data directory.

Rule: an event is on the disk before the change that it tells is answered. What is kept is bounded: full files are set
aside, the oldest is removed. No secret and no attribute value is ever in an event.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

AUDIT_FILE_NAME: Final = "audit.jsonl"
"""Beside the key file."""
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
FILES_MAX: Final = 8
"""The present one and those set aside: 32 MiB, about a hundred thousand events."""
TAIL_BYTES: Final = 64 * 1024
"""Enough of a file's end to find its last whole line."""

log = get_logger("audit")


@dataclass(frozen=True, slots=True)
class Actor:
    """Whose doing it was. `key_id` is None for whoever works on the machine itself."""

    key_id: str | None
    key_name: str


ON_THE_MACHINE: Final = Actor(None, "on the machine")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change. `action` is `kind.verb`; `before` is None for what did not exist, `after` for what does no more."""

    action: str
    subject: str
    by: Actor
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An event as it was kept. `number` grows by one with each."""

    number: int
    at_ms: int
    event: AuditEvent = field(hash=False)


class AuditError(ServiceError):
    """The audit file cannot be read or written; the message says where and what to do."""


class Audit:
    """The file. Several processes may share it: appends take a lock and follow one another's numbers."""

    def __init__(self, path: Path, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._path = path
        self._now_ms = now_ms

    async def add(self, event: AuditEvent) -> None:
        """Keep an event without holding up the process. Errors: AuditError."""
        await asyncio.to_thread(self.append, event)

    def append(self, event: AuditEvent) -> None:
        """Keep an event: when this returns, it is on the disk. Errors: AuditError."""
        try:
            with self._locked():
                self._append(event)
        except OSError as error:
            raise AuditError(
                f"the audit log {self._path} cannot be written: {error.strerror}; free space or mend the permissions"
            ) from error

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Hold off every append for the body, so that the files are those of one instant. Errors: OSError."""
        if not self._path.exists():
            yield
            return
        with self._locked():
            yield

    def newest_first(self) -> Iterator[AuditEntry]:
        """Every kept entry. Errors: AuditError. Cost: one file at a time is read whole."""
        last: int | None = None
        for number in range(FILES_MAX):
            try:
                lines = self._file(number).read_bytes().splitlines()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise AuditError(f"the audit log {self._file(number)} cannot be read: {error.strerror}") from error
            for line in reversed(lines):
                entry = _entry(line)
                # A file that is set aside while it is read comes twice.
                if entry is not None and (last is None or entry.number < last):
                    last = entry.number
                    yield entry

    def _append(self, event: AuditEvent) -> None:
        size, last, whole = self._end()
        if size >= FILE_BYTES_MAX:
            self._set_aside()
            whole = True
        written = {
            "n": last + 1,
            "at": self._now_ms(),
            "action": event.action,
            "subject": event.subject,
            "by": {"key_id": event.by.key_id, "key_name": event.by.key_name},
            "request_id": event.request_id,
            "from": event.before,
            "to": event.after,
        }
        # A line that a crash broke off is ended, so that this one stands by itself.
        line = ("" if whole else "\n") + json.dumps(written, separators=(",", ":")) + "\n"
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
            # Through a buffer: a disk on which only a part has room takes that part and calls it no error.
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _end(self) -> tuple[int, int, bool]:
        """The present file's size, the last number given, and whether the present file's last line is whole."""
        size, whole = 0, True
        for number in range(FILES_MAX):
            try:
                with self._file(number).open("rb") as file:
                    end = file.seek(0, os.SEEK_END)
                    file.seek(max(0, end - TAIL_BYTES))
                    tail = file.read()
            except FileNotFoundError:
                continue
            if number == 0:
                size, whole = end, not tail or tail.endswith(b"\n")
            last = next((entry for entry in map(_entry, reversed(tail.splitlines())) if entry is not None), None)
            if last is not None:
                return size, last.number, whole
        return size, 0, whole

    def _set_aside(self) -> None:
        for number in reversed(range(FILES_MAX - 1)):
            if self._file(number).exists():
                self._file(number).replace(self._file(number + 1))

    def _file(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_suffix(f".{number}{self._path.suffix}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _entry(line: bytes) -> AuditEntry | None:
    """A kept line; None if a crash broke it off."""
    try:
        read = json.loads(line)
        by = Actor(read["by"]["key_id"], read["by"]["key_name"])
        event = AuditEvent(read["action"], read["subject"], by, read["from"], read["to"], read["request_id"])
        return AuditEntry(int(read["n"]), int(read["at"]), event)
    except (ValueError, KeyError, TypeError):
        if line:
            log.warning("a line of the audit log cannot be read", bytes=len(line))
        return None
