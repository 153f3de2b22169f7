"""Which process works on an import, when several share the place where imports are kept.

Rule: a process that works on an import renews its claim; another takes the import over only when the claim has run out.
Of two that take one at once one has it: where files can be locked the first, elsewhere the last that wrote its claim.
A process that starts again under its own name finds its claims still its own, so a crash costs no waiting. Instants are
epoch milliseconds of the processes' clocks, which need to agree only to a few seconds. Synchronous.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel

from segmentation.model import InstantMs
from services.ingest.imports.files import ImportFiles

CLAIM_MS: Final = 30_000
"""How long a claim stands without being renewed."""
RENEWED_EVERY_S: Final = 5.0
WRITTEN_WITHIN_S: Final = 25.0
"""For so long after its claim a process writes: what it has sent is there before another may take the import over."""
SETTLED_S: Final = 0.5
"""After this, another process that took the import at the same moment has written its claim, too."""


class Claim(BaseModel):
    """Whose an import is. `token` tells apart two processes that take it at the same moment."""

    owner: str
    token: str
    until_ms: InstantMs


class Claims:
    """The claims of one process, named `owner`."""

    def __init__(self, files: ImportFiles, owner: str, now_ms: Callable[[], InstantMs]) -> None:
        self._files = files
        self._owner = owner
        self._now_ms = now_ms
        self._token = secrets.token_hex(8)

    def is_free(self, import_id: str) -> bool:
        """Whether no other process works on the import."""
        claim = self._read(import_id)
        return claim is None or claim.owner == self._owner or claim.until_ms <= self._now_ms()

    def take(self, import_id: str) -> bool:
        """Claim an import; False when it is another's. Without locks the last of two that take it at once has it."""
        with self._files.alone():
            if not self.is_free(import_id):
                return False
            self._write(import_id)
            return True

    def holds(self, import_id: str) -> bool:
        """Whether the import is this process's."""
        claim = self._read(import_id)
        return claim is not None and claim.token == self._token

    def renew(self, import_id: str) -> bool:
        """Keep a claim; False when another process has taken the import over."""
        with self._files.alone():
            if not self.holds(import_id):
                return False
            self._write(import_id)
            return True

    def release(self, import_id: str) -> None:
        """Let go of an import, if it is still ours."""
        with self._files.alone():
            if self.holds(import_id):
                self._files.remove_claim(import_id)

    def _read(self, import_id: str) -> Claim | None:
        content = self._files.claim(import_id)
        return None if content is None else Claim.model_validate_json(content)

    def _write(self, import_id: str) -> None:
        claim = Claim(owner=self._owner, token=self._token, until_ms=InstantMs(self._now_ms() + CLAIM_MS))
        self._files.save_claim(import_id, claim.model_dump_json().encode())
