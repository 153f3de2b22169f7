"""Files as services keep them: replaced whole and durably; what any place of files can be asked, through fsspec.

Rule: a file that is replaced is the old one or the new one, whatever is cut off and whoever else replaces it. Knows
nothing of what files hold.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from fsspec import AbstractFileSystem

OWNER_ONLY: Final = 0o600
"""The mode of a file that holds what others must not see."""
AS_USUAL: Final = 0o666
"""The mode of any other, less what the process masks."""


def replace_whole(path: Path, content: bytes, mode: int = AS_USUAL) -> None:
    """Put a file in another's place: on the disk when this returns, and nothing left over if not. Errors: OSError."""
    # Of one thread alone: whoever else replaces the file at the same time has another.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def last_write_ms(files: AbstractFileSystem, folder: str) -> int | None:
    """When anything of a folder was last written, in epoch milliseconds; None if it has gone, or no time is kept."""
    try:
        return int(max(files.modified(path).timestamp() for path in files.find(folder) or [folder]) * 1_000)
    except FileNotFoundError:
        return None
    except NotImplementedError:  # so fsspec says that a place keeps no times
        return None
