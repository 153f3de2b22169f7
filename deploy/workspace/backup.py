"""Backup and restore: the evaluators' stores as checkpoints, and the small files that no topic holds.

Rule: a backup is written beside its place and renamed when it is whole, and names every file with its digest; a restore
copies only what is named and has the digest that it had, beside its place too, and never over something. A store is
only ever ahead of nothing: what came after the checkpoint is read from the changelogs, so an old backup costs time, and
one that is too old is refused.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.evaluators import Checkpoint
from segmentation.model import InstantMs
from services.runtime.audit import AUDIT_FILE_NAME, Audit

MANIFEST_FILE = "backup.json"
STATE_FOLDER = "evaluator"
NOTE_FILE = "workspace.json"
KEPT_FILES = ("keys.json",)
KEPT_FOLDERS = ("imports",)
KEPT_PATTERNS = ("audit*.jsonl",)
"""What no topic holds, of the data directory that ingest works in."""
VERSION = 1
TOO_OLD_MS = 12 * 3_600_000
"""As for a disk that was away: half of the time for which the broker keeps tombstones."""
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds. `oldest` is when the store that is furthest behind was last written."""

    prefix: str
    partition_count: int
    partitions: list[int]
    contacts: int
    oldest: InstantMs
    files: dict[str, str]
    """Path in the backup → SHA-256."""

    @property
    def missing(self) -> list[int]:
        """The partitions that are not in it."""
        return sorted(set(range(self.partition_count)) - set(self.partitions))


class Restored(NamedTuple):
    """A backup that is in place. `left` is what the directory had of the kept files and folders, and has still."""

    backup: Backup
    left: list[str]


_TOLD: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_BACKUP: TypeAdapter[Backup] = TypeAdapter(Backup)


def write_backup(target: Path, checkpoints: Sequence[Checkpoint], data_dir: Path, stopping: Event) -> Backup:
    """Copy checkpoints and kept files to a new directory.

    Errors: `OperationRefusedError`, also once `stopping` is set or when a partition is missing; nothing is left then.
    """
    if target.exists():
        raise OperationRefusedError(f"{target} exists: name a directory that does not, so that no backup is replaced")
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        (unfinished / STATE_FOLDER).mkdir(parents=True)
        for checkpoint in checkpoints:
            _copy_checkpoint(checkpoint, unfinished / STATE_FOLDER, stopping)
        _copy_kept(data_dir, unfinished, stopping)
        backup = _described(checkpoints, _digests(unfinished, stopping))
        (unfinished / MANIFEST_FILE).write_bytes(orjson.dumps({"version": VERSION, **_as_json(backup)}))
        unfinished.rename(target)
    except OSError as error:
        raise OperationRefusedError(f"the backup could not be written to {target}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return backup


def read_backup(source: Path) -> Backup:
    """Read what a backup says it holds. Errors: `OperationRefusedError`."""
    try:
        told = _TOLD.validate_json((source / MANIFEST_FILE).read_bytes())
        if told.pop("version", None) != VERSION:
            raise OperationRefusedError(
                f"{source} was written by another version than this one: restore it with that one"
            )
        backup = _BACKUP.validate_python(told)
    except OSError as error:
        raise OperationRefusedError(f"{source} is not a backup: {MANIFEST_FILE} cannot be read ({error})") from error
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["msg"]
        raise OperationRefusedError(f"{source} is not a backup: {MANIFEST_FILE} has no sense ({found})") from error
    if strange := [name for name in backup.files if not _is_named(name)]:
        raise OperationRefusedError(f"{source} is not a backup: {MANIFEST_FILE} names {strange[0]!r}, which none holds")
    return backup


def restore_backup(source: Path, data_dir: Path, now: InstantMs) -> Restored:
    """Put a backup into a data directory that holds no state yet. Errors: `OperationRefusedError`; then nothing is."""
    backup = read_backup(source)
    try:
        return Restored(backup, _restored(source, backup, data_dir, now))
    except OSError as error:
        raise OperationRefusedError(f"{source} could not be restored to {data_dir}: {error}") from error


def _restored(source: Path, backup: Backup, data_dir: Path, now: InstantMs) -> list[str]:
    """Check and copy; what the directory had before, and is left. Errors: `OperationRefusedError`, OSError."""
    age_ms = now - backup.oldest
    if age_ms > TOO_OLD_MS:
        raise OperationRefusedError(
            f"the backup is {age_ms / 3_600_000:.1f} h old, and at most {TOO_OLD_MS // 3_600_000} h are taken: a "
            "contact erased since may have left the changelogs, and would come back. Start without state: the "
            "changelogs rebuild all of it"
        )
    state = data_dir / STATE_FOLDER
    if state.exists() and any(state.iterdir()):
        raise OperationRefusedError(f"{state} holds state already: move it away, or restore to another directory")
    damaged = [name for name, digest in backup.files.items() if not _is_intact(source / name, digest)]
    if damaged:
        raise OperationRefusedError(f"{len(damaged)} files of the backup are damaged or missing, first {damaged[0]}")
    unfinished = data_dir / f"{STATE_FOLDER}.restoring"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        (unfinished / STATE_FOLDER).mkdir(parents=True)
        for name in backup.files:
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, unfinished / name)
        note = {"prefix": backup.prefix, "partitions": backup.partition_count}
        (unfinished / STATE_FOLDER / NOTE_FILE).write_bytes(orjson.dumps(note))
        return _move_in(unfinished, data_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _move_in(unfinished: Path, data_dir: Path) -> list[str]:
    """Give what is restored its place, the state last; what the directory has besides is left, and returned."""
    kept = sorted(path.name for path in unfinished.iterdir() if path.name != STATE_FOLDER)
    left = [name for name in kept if (data_dir / name).exists()]
    for name in kept:
        if name not in left:
            (unfinished / name).rename(data_dir / name)
    state = data_dir / STATE_FOLDER
    if state.exists():
        state.rmdir()
    (unfinished / STATE_FOLDER).rename(state)
    return left


def _copy_checkpoint(checkpoint: Checkpoint, target: Path, stopping: Event) -> None:
    if not checkpoint.directory.is_dir():
        raise OperationRefusedError(
            f"the checkpoint {checkpoint.directory} is on another machine's disk: run this command there, or copy that "
            "directory (or take a snapshot of its volume)"
        )
    for index in checkpoint.manifest["partitions"]:
        _copy_folder(checkpoint.directory / index, target / index, stopping)
    shutil.rmtree(checkpoint.directory)


def _copy_kept(source: Path, target: Path, stopping: Event) -> None:
    """Copy the small files that exist, and folders that others work in: what ends meanwhile is left out."""
    # A full file of the audit that is set aside between two copies would be in neither, or missing from under one.
    with Audit(source / AUDIT_FILE_NAME).standing_still():
        for path in sorted(source.glob("*")):
            if path.is_file() and _is_kept_file(path.name):
                _copy_file(path, target / path.name, stopping)
    for name in KEPT_FOLDERS:
        if (source / name).is_dir():
            _copy_folder(source / name, target / name, stopping, _unless_gone)


def _is_kept_file(name: str) -> bool:
    return name in KEPT_FILES or any(fnmatch(name, pattern) for pattern in KEPT_PATTERNS)


def _copy_folder(
    source: Path,
    target: Path,
    stopping: Event,
    guarded: Callable[[Path], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Copy what is in a folder, each file and folder under the guard."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        with guarded(path):
            if path.is_dir():
                _copy_folder(path, target / path.name, stopping, guarded)
            else:
                _copy_file(path, target / path.name, stopping)


def _copy_file(source: Path, target: Path, stopping: Event) -> None:
    _refuse_stopped(stopping)
    shutil.copy2(source, target)


def _refuse_stopped(stopping: Event) -> None:
    if stopping.is_set():
        raise OperationRefusedError("the backup was ended before it was whole: repeat it")


@contextmanager
def _unless_gone(path: Path) -> Iterator[None]:
    """Let an error pass that there is no `path` any more to copy."""
    try:
        yield
    except FileNotFoundError:
        if path.exists():
            raise


def _described(checkpoints: Sequence[Checkpoint], files: dict[str, str]) -> Backup:
    manifests = [checkpoint.manifest for checkpoint in checkpoints]
    if len({(each["prefix"], each["partition_count"]) for each in manifests}) != 1:
        raise OperationRefusedError("the evaluators do not work one workspace: their prefixes or partitions differ")
    stores = {int(index): marks for each in manifests for index, marks in each["partitions"].items()}
    backup = Backup(
        manifests[0]["prefix"],
        manifests[0]["partition_count"],
        sorted(stores),
        sum(marks["contacts"] for marks in stores.values()),
        min((marks["written"] for marks in stores.values()), default=InstantMs(0)),
        files,
    )
    if backup.missing:
        raise OperationRefusedError(
            f"partitions {backup.missing} of {backup.partition_count} changed hands meanwhile and are in no "
            "checkpoint, so no backup was written: repeat it"
        )
    return backup


def _as_json(backup: Backup) -> dict[str, object]:
    return {name: getattr(backup, name) for name in Backup.__slots__}


def _digests(directory: Path, stopping: Event) -> dict[str, str]:
    """Path in the directory → SHA-256, of every file."""
    found = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        _refuse_stopped(stopping)
        found[path.relative_to(directory).as_posix()] = _digest(path)
    return found


def _is_named(name: str) -> bool:
    """Whether a backup may hold a file of this name; none leads elsewhere."""
    first, *others = name.split("/")
    if not others:
        return _is_kept_file(first)
    return first in (STATE_FOLDER, *KEPT_FOLDERS) and not {"", ".", ".."} & set(others)


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path) == digest


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            found.update(piece)
    return found.hexdigest()
