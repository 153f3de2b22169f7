"""Which workspace the local state belongs to: a note beside the stores, so that no other workspace's are ever opened.

Rule: a store's position is one in its own changelogs; read against another workspace's it would look right and be
wrong. State of another workspace is set aside, never deleted and never used; the changelogs fill an empty directory.
"""

from __future__ import annotations

import json
from pathlib import Path

from services.runtime.errors import StartRefusedError
from services.runtime.logs import get_logger

NOTE_FILE = "workspace.json"
SET_ASIDE_MAX = 100

log = get_logger("state")


def claim_state_directory(directory: Path, prefix: str, partitions: int) -> None:
    """Make `directory` this workspace's. State without a note is taken for it."""
    note = directory / NOTE_FILE
    wanted = {"prefix": prefix, "partitions": partitions}
    directory.mkdir(parents=True, exist_ok=True)
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = wanted
    except (OSError, json.JSONDecodeError) as error:
        raise StartRefusedError(
            f"{note} cannot be read ({error}): it says whose state this is; delete {directory}, which is rebuilt"
        ) from error
    if found != wanted:
        aside = _set_aside(directory)
        log.warning("local state of another workspace is set aside", found=found, expected=wanted, aside=str(aside))
        directory.mkdir(parents=True)
    unfinished = note.with_suffix(".new")
    unfinished.write_text(json.dumps(wanted), encoding="utf-8")
    unfinished.replace(note)


def _set_aside(directory: Path) -> Path:
    for number in range(1, SET_ASIDE_MAX + 1):
        target = directory.with_name(f"{directory.name}.other-{number}")
        if not target.exists():
            return directory.rename(target)
    raise StartRefusedError(f"{SET_ASIDE_MAX} directories of other workspaces stand beside {directory}: remove some")
