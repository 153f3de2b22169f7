"""Removes imports that have ended from wherever ingest keeps them: a folder, or any object store of an fsspec URL.

Rule: an upload that a crash cut off has no record to say so; it has ended when nothing was written to it for long.
"""

from __future__ import annotations

import fsspec
import orjson
from fsspec import AbstractFileSystem

from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.settings import OperatorSettings
from segmentation.model import InstantMs
from services.runtime.addresses import without_credentials
from services.runtime.stored_files import last_write_ms

FOLDER = "imports"
IMPORT = "imp_"
"""What the folder of each import begins with."""
RECORD = "import.json"
ENDED_STATES = frozenset({"completed", "failed", "cancelled"})
UNFINISHED_MS = 3_600_000
"""How long after its last write an upload without a record is taken for cut off, as ingest does."""


def imports_place(settings: OperatorSettings) -> str:
    """The folder or URL that the workspace's ingest processes keep imports in."""
    return settings.imports_url or str(settings.data_dir / FOLDER)


def remove_ended(url: str, now_ms: InstantMs) -> int:
    """Remove ended imports, with their previews and reports of rejected rows, and uploads cut off; how many.

    Errors: `OperationRefusedError` when the place cannot be reached or read.
    """
    removed = 0
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        for folder in sorted(_imports(files, root)):
            if _is_ended(files, folder, now_ms):
                files.rm(folder, recursive=True)
                removed += 1
    except (OSError, ValueError, ImportError) as error:
        raise OperationRefusedError(
            without_credentials(
                f"TIDEGATE_IMPORTS_URL {url} cannot be cleared: {error}; name the place that ingest keeps imports in, "
                "with its fsspec driver installed"
            )
        ) from error
    return removed


def _imports(files: AbstractFileSystem, root: str) -> list[str]:
    """The folder of every import."""
    if not files.exists(root):
        return []
    found = (str(path).rstrip("/") for path in files.ls(root, detail=False))
    return [path for path in found if path.rsplit("/", 1)[-1].startswith(IMPORT)]


def _is_ended(files: AbstractFileSystem, folder: str, now_ms: InstantMs) -> bool:
    try:
        return orjson.loads(files.cat_file(f"{folder}/{RECORD}")).get("state") in ENDED_STATES
    except FileNotFoundError:
        return _is_cut_off(files, folder, now_ms)


def _is_cut_off(files: AbstractFileSystem, folder: str, now_ms: InstantMs) -> bool:
    """Whether an upload has no record and none will come. A place that keeps no times says nothing."""
    last_ms = last_write_ms(files, folder)
    return last_ms is not None and now_ms - last_ms > UNFINISHED_MS
