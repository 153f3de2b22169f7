"""The key file between threads, and in a folder that cannot be used: a revoked key is dead whatever comes between."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from services.runtime.keys import TOKEN_CHARACTERS_MAX, KeyFile, KeyFileError, Scope

WAIT_S = 10.0


class Interleaved(KeyFile):
    """One thread reads the file as it was, and goes on in the middle of what another thread notes of its change."""

    changing: threading.Thread
    has_changed: threading.Event
    has_read: threading.Event

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        here = getattr(self, "changing", None)
        if here is threading.current_thread() and not json.loads(self._path.read_bytes())["keys"]:
            self.has_changed.set()
            assert self.has_read.wait(WAIT_S)


def test_a_key_that_is_revoked_while_the_file_is_read_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    made = KeyFile(path).create("crm", {Scope.ADMIN})
    keys = Interleaved(path)
    keys.has_changed, keys.has_read = threading.Event(), threading.Event()
    loads = json.loads

    def change() -> None:
        keys.revoke(made.key.id)
        keys.has_changed.set()

    def read_late(content: bytes) -> Any:
        if threading.current_thread() is not keys.changing and not keys.changing.is_alive():
            keys.changing.start()
            assert keys.has_changed.wait(WAIT_S)
        return loads(content)

    keys.changing = threading.Thread(target=change)
    with monkeypatch.context() as patched:
        patched.setattr(json, "loads", read_late)
        assert keys.verify(made.token) == made.key
    keys.has_read.set()
    keys.changing.join(WAIT_S)
    assert keys.verify(made.token) is None


def test_a_token_that_is_longer_than_any_is_refused_before_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    sha256 = hashlib.sha256

    def note(content: bytes) -> Any:
        hashed.append(content)
        return sha256(content)

    monkeypatch.setattr(hashlib, "sha256", note)
    keys = KeyFile(tmp_path / "keys.json")
    longest, longer = "t" * TOKEN_CHARACTERS_MAX, "t" * (TOKEN_CHARACTERS_MAX + 1)
    assert [keys.verify(token) for token in (longest, longer)] == [None, None]
    assert hashed == [longest.encode()]


def test_a_folder_that_cannot_be_looked_into_is_said_and_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    keys = KeyFile(tmp_path / "data" / "keys.json")
    with pytest.raises(KeyFileError, match="cannot be read"):
        keys.verify("tg_x")
    with pytest.raises(KeyFileError, match="cannot be changed"):
        keys.create("crm", {Scope.ADMIN})
