"""What is known of requests with an `Idempotency-Key`: a local table, folded from the `requests` topic.

Rule: derived from the log alone and by its timestamps alone, so that every process holds the same; losing the file
costs reading the topic again, and one that a power cut has damaged is lost. Memory does not grow with the number of
requests.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from schemas.request_record import RequestRecord, RequestState
from services.runtime.errors import ServiceError
from services.runtime.logs import get_logger

HONOURED_MS: Final = 24 * 3_600_000
CLAIM_STALE_MS: Final = 60_000
"""After this, whoever claimed a request has died with it."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (digest TEXT PRIMARY KEY, at INTEGER, record BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_at ON requests (at);
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), topic TEXT, next INTEGER);
"""
_IN_MEMORY: Final = ":memory:"
_BESIDE: Final = ("", "-wal", "-shm")
"""The endings of a table's files."""

log = get_logger("request_store")


@dataclass(frozen=True, slots=True)
class Step:
    """One record of the topic."""

    digest: str
    at: int
    record: RequestRecord


class RequestStore:
    """The table. Synchronous: each call is a few tens of microseconds. Errors: ServiceError if it cannot be opened."""

    def __init__(self, path: Path, source: str) -> None:
        """`source` is the log that the table is folded from; what it holds of another one is forgotten."""
        self._source = source
        self._lock = _locked(path)
        try:
            # Whoever comes second to the same file keeps its own table in memory.
            self._db = _opened(_IN_MEMORY) if self._lock is None else _opened_if_sound(path)
        except (OSError, sqlite3.Error) as error:
            if self._lock is not None:
                self._lock.close()
            raise ServiceError(f"the table of requests {path} cannot be opened: {error}") from error
        held = self._db.execute("SELECT topic FROM position").fetchone()
        if held is not None and held[0] != source:
            self.forget()

    def close(self) -> None:
        """Release the file."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def forget(self) -> None:
        """Hold nothing, and stand at the beginning: what the log said before is not to be answered by any more."""
        self._db.executescript("DELETE FROM requests; DELETE FROM position;")

    @property
    def position(self) -> int:
        """The next offset to fold."""
        row = self._db.execute("SELECT next FROM position").fetchone()
        return int(row[0]) if row is not None else 0

    def get(self, digest: str) -> tuple[RequestRecord, int] | None:
        """What stands for a request, and since when. Errors: ServiceError."""
        try:
            row = self._db.execute("SELECT record, at FROM requests WHERE digest = ?", (digest,)).fetchone()
        except sqlite3.Error as error:
            raise ServiceError("the table of requests cannot be read") from error
        return (RequestRecord.decode(row[0]), int(row[1])) if row is not None else None

    def fold(self, steps: Iterable[Step], next_offset: int) -> None:
        """Take steps in log order; all of them or none. Errors: ServiceError when the disk refuses."""
        try:
            self._fold_all(steps, next_offset)
        except sqlite3.Error as error:
            raise ServiceError("the table of requests cannot be written") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _fold_all(self, steps: Iterable[Step], next_offset: int) -> None:
        newest = 0
        self._db.execute("BEGIN")
        for step in steps:
            newest = max(newest, step.at)
            self._fold(step)
        if newest:
            self._db.execute("DELETE FROM requests WHERE at < ?", (newest - HONOURED_MS,))
        self._db.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?)", (self._source, next_offset))
        self._db.execute("COMMIT")

    def _fold(self, step: Step) -> None:
        found = self.get(step.digest)
        record = step.record
        if record.state is RequestState.CLAIMED:
            if found is None or is_over(*found, step.at):
                self._put(step)
        elif found is not None and found[0].claim == record.claim:
            if record.state is RequestState.DONE:
                self._put(step)
            else:
                self._db.execute("DELETE FROM requests WHERE digest = ?", (step.digest,))

    def _put(self, step: Step) -> None:
        value = orjson.dumps(step.record.model_dump(mode="json"))
        self._db.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", (step.digest, step.at, value))


def source_of(topic: str, cluster: str) -> str:
    """The log that is one topic of one cluster: a topic of a broker that was made anew is another one."""
    return f"{topic} of {cluster}"


def is_over(record: RequestRecord, at: int, now: int) -> bool:
    """Whether what stood since `at` no longer stands at `now`, both broker time."""
    return now - at > (HONOURED_MS if record.state is RequestState.DONE else CLAIM_STALE_MS)


def _opened_if_sound(path: Path) -> sqlite3.Connection:
    """The table in a file, or a new one in its place if it is damaged. Cost: the file is read once."""
    # SQLite gives the files that it puts beside it the same mode.
    path.touch(0o600)
    path.chmod(0o600)
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        log.warning("the table of requests is damaged and read anew from the log", error=str(error))
    for ending in _BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)
    path.touch(0o600)
    return _opened(path)


def _opened(place: Path | str) -> sqlite3.Connection:
    """A table. Errors: sqlite3.DatabaseError, also for one that is damaged within."""
    database = sqlite3.connect(place, isolation_level=None)
    try:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _SCHEMA)
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            damaged = sqlite3.DatabaseError(found)
            damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damaged
    except sqlite3.Error:
        database.close()
        raise
    return database


def _locked(path: Path) -> IO[str] | None:
    """The lock on the file; None if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
