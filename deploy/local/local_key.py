"""The API key of the local stack, made once and kept for its owner.

Rule: the services know only its hash; the key itself is in a file that nobody but its owner can read. A key that was
revoked, whose hash is gone, or of which a machine that went down left half, is replaced by a new one.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope

FILE_NAME = "local-key"
OWNER_ONLY = 0o600


def local_key(data_directory: Path) -> str:
    """Return the key with every scope of the stack on this directory, making it if need be. Errors: ServiceError."""
    keys = KeyFile(data_directory / KEY_FILE_NAME)
    file = data_directory / FILE_NAME
    if file.exists():
        token = file.read_text(encoding="ascii", errors="replace").strip()
        if keys.verify(token) is not None:
            return token
    token = keys.create("local", frozenset(Scope)).token
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        os.fchmod(descriptor, OWNER_ONLY)
        out.write(token + "\n")
    return token
