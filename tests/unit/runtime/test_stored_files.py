"""Files replaced whole: durable when the call returns, nothing left over when it fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from services.runtime.stored_files import OWNER_ONLY, replace_whole


def test_content_and_name_are_on_the_disk_when_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fsync, safe = tmp_path / "file", os.fsync, []

    def noting(descriptor: int) -> None:
        safe.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    replace_whole(path, b"content", OWNER_ONLY)
    assert safe == [(False, False), (True, True)]
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == OWNER_ONLY


def test_a_file_for_which_there_is_no_room_stays_as_it_was_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    replace_whole(path, b"before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_whole(path, b"after")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"before", [path])
