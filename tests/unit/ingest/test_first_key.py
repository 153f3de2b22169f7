"""The first key of a deployment: made once, where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.ingest.first_key import main
from services.runtime.application import EXIT_REFUSED
from services.runtime.keys import KeyFile, Scope


def test_the_first_key_may_do_everything_and_is_made_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys" / "keys.json"
    monkeypatch.setenv("TIDEGATE_KEY_FILE", str(file))
    assert main() == 0
    key = KeyFile(file).verify(capsys.readouterr().out.strip())
    assert key is not None
    assert key.scopes == frozenset(Scope)
    assert main() == EXIT_REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert "1 keys already" in said.err
    assert len(KeyFile(file).keys()) == 1


def test_a_key_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys.json").mkdir()
    monkeypatch.setenv("TIDEGATE_KEY_FILE", str(tmp_path / "keys.json"))
    assert main() == EXIT_REFUSED
    assert "cannot be" in capsys.readouterr().err
