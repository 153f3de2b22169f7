"""Removes imports that have ended from wherever ingest keeps them: a folder, or any object store of an fsspec URL."""

from __future__ import annotations

import fsspec
import orjson

from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.settings import OperatorSettings

FOLDER = "imports"
RECORD = "import.json"
ENDED_STATES = frozenset({"completed", "failed", "cancelled"})


def imports_place(settings: OperatorSettings) -> str:
    """The folder or URL that the workspace's ingest processes keep imports in."""
    return settings.imports_url or str(settings.data_dir / FOLDER)


def remove_ended(url: str) -> int:
    """Remove ended imports, with their previews and reports of rejected rows; how many.

    Errors: `OperationRefusedError` when the place cannot be reached or read.
    """
    removed = 0
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        for record in sorted(files.glob(f"{root.rstrip('/')}/*/{RECORD}")):
            if orjson.loads(files.cat_file(record)).get("state") in ENDED_STATES:
                files.rm(record.removesuffix(f"/{RECORD}"), recursive=True)
                removed += 1
    except (OSError, ValueError, ImportError) as error:
        raise OperationRefusedError(
            f"TIDEGATE_IMPORTS_URL {url} cannot be cleared: {error}; name the place that ingest keeps imports in, with "
            "its fsspec driver installed"
        ) from error
    return removed
