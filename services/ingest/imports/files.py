"""Where imports are kept: a local folder, or any object store that fsspec reaches by its URL.

Rule: a small file is replaced whole and is durable when the call returns, so a checkpoint that was written survives a
power cut. Everything of one import lies under its id. Synchronous: called off the event loop. Errors: OSError.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from segmentation.model import InstantMs
from services.ingest.imports.limits import PIECE_BYTES, UPLOADS_MIB_MAX
from services.ingest.imports.records import Checkpoint, ImportRecord
from services.runtime.stored_files import last_write_ms, replace_whole

_UPLOAD: Final = "upload.csv"
_RECORD: Final = "import.json"
_CHECKPOINT: Final = "checkpoint.json"
_CLAIM: Final = "claim.json"
_CLAIMS_LOCK: Final = ".claims.lock"
_REJECTED: Final = "rejected"
_TRIED: Final = "tried"
_MAPPINGS: Final = "mappings"
_REPEATS: Final = "repeats"


class UnreadableImportError(Exception):
    """What an import is cannot be read: a later version of ours has written it, or somebody else."""


class ImportFiles:
    """All imports of one workspace."""

    def __init__(self, url: str, uploads_bytes_max: int = UPLOADS_MIB_MAX * 1024 * 1024) -> None:
        """`url` is a folder, or an object store such as `s3://bucket/folder`; its uploads are bounded together."""
        self._uploads_bytes_max = uploads_bytes_max
        self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(self._files, LocalFileSystem)

    @property
    def has_locks(self) -> bool:
        """Whether `alone` keeps others out: an object store has nothing for that."""
        return self._is_local

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Alone with the claims, among the processes that share a folder, for a look and a write."""
        if not self._is_local:
            yield
            return
        with Path(self._root, _CLAIMS_LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def prepare(self) -> None:
        """Make sure that the place exists and can be written."""
        self._files.makedirs(self._root, exist_ok=True)
        probe = f"{self._root}/.writable"
        self._write(probe, b"")
        # Another process that begins at this moment may have removed it.
        self._remove(probe)

    # The upload

    @contextmanager
    def new_upload(self, import_id: str) -> Iterator[BinaryIO]:
        """A file to write the upload to; durable once the context ends."""
        self._files.makedirs(self._at(import_id), exist_ok=True)
        with self._files.open(self._at(import_id, _UPLOAD), "wb", block_size=5 * 1024 * 1024) as file:
            yield file
            if self._is_local:
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def upload(self, import_id: str) -> Iterator[BinaryIO]:
        """The stored upload, to read from any byte."""
        with self._files.open(self._at(import_id, _UPLOAD), "rb") as file:
            yield file

    def has_room(self) -> bool:
        """Whether more may be uploaded. An object store counts what has arrived whole. Cost: a look at each import."""
        held: dict[str, dict[str, Any]] = self._files.find(self._root, detail=True)
        sizes = (int(file["size"]) for path, file in held.items() if path.endswith(f"/{_UPLOAD}"))
        return sum(sizes) < self._uploads_bytes_max

    def remove_upload(self, import_id: str) -> None:
        """Forget the file: its rows are written, or are not to be."""
        self._remove(self._at(import_id, _UPLOAD))

    def remove(self, import_id: str) -> None:
        """Forget everything about an import."""
        if self._files.exists(self._at(import_id)):
            self._files.rm(self._at(import_id), recursive=True)

    def last_write(self, import_id: str) -> InstantMs | None:
        """When anything of an import was last written; None when it has gone, or when the place does not say."""
        at = last_write_ms(self._files, self._at(import_id))
        return None if at is None else InstantMs(at)

    # The record and the checkpoint

    def ids(self) -> list[str]:
        """All imports, newest first."""
        if not self._files.exists(self._root):
            return []
        names = (str(path).rstrip("/").rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False))
        return sorted((name for name in names if name.startswith("imp_")), reverse=True)

    def record(self, import_id: str) -> ImportRecord | None:
        """What an import is, or None when there is none of this id. Errors: UnreadableImportError."""
        content = self._read(self._at(import_id, _RECORD))
        try:
            return None if content is None else ImportRecord.model_validate_json(content)
        except ValidationError as error:
            raise UnreadableImportError(f"the record of {import_id} cannot be read") from error

    def save_record(self, record: ImportRecord) -> None:
        """Keep what an import is."""
        self._write(self._at(record.id, _RECORD), record.model_dump_json().encode())

    def checkpoint(self, import_id: str) -> Checkpoint | None:
        """How far an import came, or None when it has not begun."""
        content = self._read(self._at(import_id, _CHECKPOINT))
        return None if content is None else Checkpoint.model_validate_json(content)

    def save_checkpoint(self, import_id: str, checkpoint: Checkpoint) -> None:
        """Keep how far an import came."""
        self._write(self._at(import_id, _CHECKPOINT), checkpoint.model_dump_json().encode())

    def claim(self, import_id: str) -> bytes | None:
        """Whose an import is."""
        return self._read(self._at(import_id, _CLAIM))

    def save_claim(self, import_id: str, claim: bytes) -> None:
        """Keep whose an import is."""
        self._write(self._at(import_id, _CLAIM), claim)

    def remove_claim(self, import_id: str) -> None:
        """Nobody works on the import."""
        self._remove(self._at(import_id, _CLAIM))

    # Rejected rows, one file for each checkpoint that has some

    def save_rejected(self, import_id: str, first_row: int, lines: bytes) -> None:
        """Keep the report lines of the rows since the checkpoint at `first_row`; the same again replaces them."""
        self._save_lines(import_id, _REJECTED, first_row, lines)

    def save_tried_rejected(self, import_id: str, first_row: int, lines: bytes) -> None:
        """Keep the report lines of a dry run."""
        self._save_lines(import_id, _TRIED, first_row, lines)

    def forget_tried(self, import_id: str) -> None:
        """Forget what an earlier dry run rejected."""
        folder = self._at(import_id, _TRIED)
        if self._files.exists(folder):
            self._files.rm(folder, recursive=True)

    def forget_rejected(self, import_id: str, from_row: int) -> None:
        """Forget the report lines of rows behind the checkpoint at `from_row`, which were never made safe."""
        folder = self._at(import_id, _REJECTED)
        for first_row, path in self._lines_in(folder):
            if first_row >= from_row:
                self._remove(path)

    def rejected(self, import_id: str, below_row: int | None) -> Iterator[bytes]:
        """The report lines of all rows before the checkpoint at `below_row`, in order; None: those of the dry run."""
        folder = self._at(import_id, _TRIED if below_row is None else _REJECTED)
        for first_row, path in self._lines_in(folder):
            if below_row is not None and first_row >= below_row:
                continue
            with self._files.open(path, "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield cast("bytes", piece)

    # What is remembered beyond one import

    def remembered_mapping(self, signature: str) -> bytes | None:
        """The mapping last used for files of this header."""
        return self._read(f"{self._root}/{_MAPPINGS}/{signature}.json")

    def remember_mapping(self, signature: str, mapping: bytes) -> None:
        """Keep a mapping for the next file of this header."""
        self._files.makedirs(f"{self._root}/{_MAPPINGS}", exist_ok=True)
        self._write(f"{self._root}/{_MAPPINGS}/{signature}.json", mapping)

    def written_as(self, digest: str) -> str | None:
        """The import that last set out to write exactly this file in exactly this way."""
        content = self._read(f"{self._root}/{_REPEATS}/{digest}")
        return None if content is None else content.decode()

    def remember_written(self, digest: str, import_id: str) -> None:
        """Keep that an import sets out to write this file in this way."""
        self._files.makedirs(f"{self._root}/{_REPEATS}", exist_ok=True)
        self._write(f"{self._root}/{_REPEATS}/{digest}", import_id.encode())

    def _save_lines(self, import_id: str, kind: str, first_row: int, lines: bytes) -> None:
        self._files.makedirs(self._at(import_id, kind), exist_ok=True)
        self._write(self._at(import_id, kind, f"{first_row:012d}.csv"), lines)

    def _lines_in(self, folder: str) -> list[tuple[int, str]]:
        """The files of report lines in a folder with the first row of each, in order."""
        if not self._files.exists(folder):
            return []
        paths = sorted(str(path) for path in self._files.ls(folder, detail=False))
        named = [(path.rsplit("/", 1)[-1].removesuffix(".csv"), path) for path in paths]
        return [(int(first_row), path) for first_row, path in named if first_row.isdigit()]

    def _at(self, import_id: str, *names: str) -> str:
        return "/".join((self._root, import_id, *names))

    def _read(self, path: str) -> bytes | None:
        try:
            return cast("bytes", self._files.cat_file(path))
        except FileNotFoundError:
            return None

    def _remove(self, path: str) -> None:
        try:
            self._files.rm_file(path)
        except FileNotFoundError:
            return

    def _write(self, path: str, content: bytes) -> None:
        """Replace a file whole. An object store's put is atomic and durable; a local file needs its care."""
        if not self._is_local:
            self._files.pipe_file(path, content)
            return
        replace_whole(Path(path), content)
