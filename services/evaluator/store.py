"""The local store of one partition: RocksDB through rocksdict in raw mode, as an ordered map of bytes.

Rule: it knows keys and values, not contacts; what a row means is `rows.py`'s. All partitions of a process share one
block cache and one write-buffer budget, so memory does not grow with the number of partitions. The write-ahead log is
not synced: the changelog on the broker is the durable copy, and a torn tail is read again from there.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    Checkpoint,
    CompactOptions,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from services.evaluator.ports import StoreError, StoreUnavailableError

MEMORY_BYTES = 256 << 20
"""Blocks of files, their indexes and filters, and rows not yet in files, of all partitions together."""
BUFFERS_SHARE = 2
"""Rows not yet in files may be this part of it."""
WRITE_BUFFER_BYTES = 16 << 20
WRITE_BUFFERS_MAX = 3
BACKGROUND_JOBS_MAX = 2
BLOOM_BITS_PER_KEY = 10
OPEN_FILES_MAX = 256
ROWS = "default"
"""The one column family."""
LOG_FILES_MAX = 2
LOG_FILE_BYTES = 4 << 20
INTERRUPTED_WITHIN_S = 2.0
"""So long a close waits for what works in another thread and has been told to end; it does in milliseconds."""


CORRUPTION = "Corruption"
"""How RocksDB's messages begin when a checksum or a structure is wrong."""
INTERRUPTED = "Shutdown in progress"
"""How they begin once background work was told to end."""
_ENVIRONMENT = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOMEM,
)
IN_USE = ("While lock file", "lock hold by current process")
"""What RocksDB's messages hold when another process, or this one, has the files open."""
NOT_THE_STORES = (*IN_USE, *map(os.strerror, _ENVIRONMENT))
"""What RocksDB's messages hold when the machine or another process is in the way, and the files are whole."""


def corruption_mark(path: Path) -> Path:
    """The file that says that reads of the store in `path` found it corrupt, so that it is not opened again."""
    return path.with_name(f"{path.name}.corrupt")


def remove_store(path: Path) -> bool:
    """Delete the store in `path` with all its files unless somebody has it open; whether it was. Errors: StoreError."""
    try:
        Rdict.destroy(str(path))
        if path.exists():  # what is not RocksDB's own stays
            shutil.rmtree(path)
    except Exception as error:
        if any(each in str(error) for each in IN_USE):
            return False
        raise _error(f"cannot delete the local state in {path}: {error}") from error
    corruption_mark(path).unlink(missing_ok=True)
    return True


class StoreMemory:
    """The memory that every store of this process shares."""

    def __init__(self, limit_bytes: int = MEMORY_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.cache = Cache(limit_bytes)
        buffers_bytes = limit_bytes // BUFFERS_SHARE
        self.buffers = WriteBufferManager.new_write_buffer_manager_with_cache(buffers_bytes, False, self.cache)

    @property
    def held_bytes(self) -> int:
        """What all stores hold now: blocks of their files, and rows not yet in files, which count against the same."""
        return self.cache.get_usage()

    @property
    def buffers_held_bytes(self) -> int:
        """The part of it that is rows not yet in files."""
        return self.buffers.get_usage()


def _options(memory: StoreMemory) -> Options:
    table = BlockBasedOptions()
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    table.set_block_cache(memory.cache)
    # Else each open file holds its own for ever, outside the limit.
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX)
    options.set_write_buffer_manager(memory.buffers)
    options.set_max_background_jobs(BACKGROUND_JOBS_MAX)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_keep_log_file_num(LOG_FILES_MAX)
    options.set_max_log_file_size(LOG_FILE_BYTES)
    options.set_paranoid_checks(True)
    options.set_block_based_table_factory(table)
    return options


class RocksStore:
    """`Store` on RocksDB. One open instance a directory: the database's own lock refuses a second."""

    def __init__(self, path: Path, memory: StoreMemory) -> None:
        self.path = path
        self._db: Rdict | None = None
        self._beside = threading.Lock()
        """Held by work in another thread, during which the database cannot be closed."""
        if corruption_mark(path).exists():
            raise StoreError(f"the local state in {path} was found corrupt when it was last used")
        try:
            path.mkdir(parents=True, exist_ok=True)
            options = _options(memory)
            # An existing database is opened with the options that it was saved with, a cache of its own among them,
            # unless those of its one column family are given too.
            self._db = Rdict(str(path), options=options, column_families={ROWS: options})
        except Exception as error:
            raise _error(f"cannot open the local state in {path}: {error}") from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of `keys`, None where absent."""
        if not keys:
            return []
        try:
            values = self._open().get(list(keys))
        except Exception as error:
            raise self._failed("read", error) from error
        return cast("list[bytes | None]", values)

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Put or delete all rows or none."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in rows.items():
            if value is None:
                delete(key)
            else:
                put(key, value)
        try:
            self._open().write(batch)
        except Exception as error:
            raise self._failed("write", error) from error

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` rows with `start` <= key < `end`, in key order."""
        found: list[tuple[bytes, bytes]] = []
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            rows = self._open().iter(options)
            rows.seek(start)
            while len(found) < limit and rows.valid():
                found.append((rows.key(), rows.value()))
                rows.next()
            rows.status()
        except Exception as error:
            raise self._failed("scan", error) from error
        return found

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy in a new directory, by hard links where the file system has them."""
        try:
            with self._beside:
                Checkpoint(self._open()).create_checkpoint(str(path))
        except Exception as error:
            raise self._failed("checkpoint", error) from error

    def flush(self) -> None:
        """Write what is in memory to table files."""
        try:
            self._open().flush()
        except Exception as error:
            raise self._failed("flush", error) from error

    def compact(self) -> None:
        """Rewrite every table file, so that none holds a row that was deleted or replaced before.

        Errors: `StoreError` if one of them is still there.
        """
        everything = CompactOptions()
        # Without force a single file would only be moved, with the keys of what was deleted still in it.
        everything.set_bottommost_level_compaction(BottommostLevelCompaction.force())
        try:
            with self._beside:
                db = self._open()
                db.flush()
                before = _tables(db)
                db.compact_range(None, None, everything)
                self._open()  # a compaction that a close interrupts says nothing
                if not before.isdisjoint(_tables(db)):
                    db.flush()  # nor does one that fails, but this then says why
                    raise StoreError("tables stand as they were")
        except Exception as error:
            raise self._failed("compact", error) from error

    def close(self) -> None:
        """Flush and release the files, and interrupt what works on them in another thread. Idempotent."""
        db, self._db = self._db, None
        if db is None:
            return
        is_interrupted = self._beside.locked()
        if is_interrupted:
            db.cancel_all_background(True)
        is_alone = self._beside.acquire(timeout=INTERRUPTED_WITHIN_S)
        try:
            db.close()
        except Exception as error:
            # Nothing can be flushed then, and need not be: it is in the log of writes.
            if not (is_interrupted and INTERRUPTED in str(error)):
                raise self._failed("close", error) from error
        finally:
            if is_alone:
                self._beside.release()

    def _open(self) -> Rdict:
        if self._db is None:
            raise StoreError(f"the local state in {self.path} is closed")
        return self._db

    def _failed(self, doing: str, error: Exception) -> StoreError:
        if CORRUPTION in str(error):
            with suppress(OSError):  # what cannot be written any more cannot be opened either, and is not set aside
                corruption_mark(self.path).touch()
        return _error(f"cannot {doing} the local state in {self.path}: {error}")


def _tables(db: Rdict) -> set[str]:
    """The names of a database's table files; none is used twice."""
    return {table["name"] for table in db.live_files()}


def _error(message: str) -> StoreError:
    return StoreUnavailableError(message) if any(each in message for each in NOT_THE_STORES) else StoreError(message)
