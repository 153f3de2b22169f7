"""Which workspace the local state belongs to: a note beside the stores, so that no other workspace's are ever opened.

Rule: a store's position is one in its own changelogs; read against another workspace's it would look right and be
wrong. State of another workspace is set aside, never deleted and never used, and not while a process works on it, whose
files would go to the directory in its place; the changelogs fill an empty one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.evaluator.ports import StoreUnavailableError
from services.runtime.errors import StartRefusedError
from services.runtime.logs import get_logger

NOTE_FILE = "workspace.json"
SET_ASIDE_MAX = 100

log = get_logger("state")


@contextmanager
def claimed_state_directory(directory: Path, prefix: str, partitions: int) -> Iterator[None]:
    """Make `directory` this workspace's, and hold it until the end of the block. State without a note is taken for it.

    Errors: `StoreUnavailableError` where the directory cannot be used, or another workspace's evaluator works on it.
    """
    try:
        held = _claim(directory, {"prefix": prefix, "partitions": partitions})
    except OSError as error:
        raise StoreUnavailableError(f"the state directory {directory} cannot be used: {error}") from error
    try:
        yield
    finally:
        os.close(held)


def _claim(directory: Path, wanted: dict[str, object]) -> int:
    """The open directory, which says for as long as it is open that somebody works on it."""
    directory.mkdir(parents=True, exist_ok=True)
    found = _found(directory) or wanted
    if found != wanted:
        held = _hold(directory, fcntl.LOCK_EX)
        try:
            aside = _set_aside(directory)
        finally:
            os.close(held)
        log.warning("local state of another workspace is set aside", found=found, expected=wanted, aside=str(aside))
        directory.mkdir(parents=True)
    held = _hold(directory, fcntl.LOCK_SH)
    try:
        note = directory / NOTE_FILE
        unfinished = note.with_suffix(".new")
        unfinished.write_text(json.dumps(wanted), encoding="utf-8")
        unfinished.replace(note)
    except OSError:
        os.close(held)
        raise
    return held


def _found(directory: Path) -> object:
    """Whose state it is; None if there is no note."""
    note = directory / NOTE_FILE
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StartRefusedError(
            f"{note} cannot be read ({error}): it says whose state this is; delete {directory}, which is rebuilt"
        ) from error


def _hold(directory: Path, how: int) -> int:
    """Open the directory and lock it: shared by those who work on it, exclusive for who sets it aside."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise StoreUnavailableError(
            f"an evaluator of another workspace works on {directory}: give each a TIDEGATE_DATA_DIR of its own"
        ) from error
    except OSError:
        os.close(held)
        raise
    return held


def _set_aside(directory: Path) -> Path:
    for number in range(1, SET_ASIDE_MAX + 1):
        target = directory.with_name(f"{directory.name}.other-{number}")
        if not target.exists():
            return directory.rename(target)
    raise StartRefusedError(f"{SET_ASIDE_MAX} directories of other workspaces stand beside {directory}: remove some")
