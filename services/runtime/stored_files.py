"""What any place of files can be asked, a folder or an object store, through fsspec."""

from __future__ import annotations

from fsspec import AbstractFileSystem


def last_write_ms(files: AbstractFileSystem, folder: str) -> int | None:
    """When anything of a folder was last written, in epoch milliseconds; None if it has gone, or no time is kept."""
    try:
        return int(max(files.modified(path).timestamp() for path in files.find(folder) or [folder]) * 1_000)
    except FileNotFoundError:
        return None
    except NotImplementedError:  # so fsspec says that a place keeps no times
        return None
