"""Whose the local state is, and that one directory never serves two workspaces at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.evaluator.ports import StoreUnavailableError
from services.evaluator.state_directory import NOTE_FILE, claimed_state_directory
from services.runtime.errors import StartRefusedError

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0
OTHER = """
import sys
from pathlib import Path
from services.evaluator.state_directory import claimed_state_directory
with claimed_state_directory(Path(sys.argv[1]), sys.argv[2], 8):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def other_process(directory: Path, prefix: str) -> subprocess.Popen[bytes]:
    """A process that holds the directory until its input ends."""
    command = [sys.executable, "-c", OTHER, str(directory), prefix]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"claimed\n"
    return process


def test_state_that_another_workspace_works_on_is_not_set_aside_under_it(tmp_path: Path) -> None:
    state = tmp_path / "evaluator"
    other = other_process(state, "a-")
    with (
        pytest.raises(StoreUnavailableError, match="another workspace works on"),
        claimed_state_directory(state, "b-", 8),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["evaluator"]
    other.communicate(timeout=WAIT_S)
    with claimed_state_directory(state, "b-", 8):
        assert (tmp_path / "evaluator.other-1" / NOTE_FILE).exists()


def test_processes_of_one_workspace_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    other = other_process(tmp_path / "evaluator", "a-")
    with claimed_state_directory(tmp_path / "evaluator", "a-", 8):
        other.communicate(timeout=WAIT_S)


@pytest.mark.parametrize("place", ["file", "file/evaluator", "blocked"])
def test_a_directory_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "blocked" / "workspace.new").mkdir(parents=True)
    named = f"the state directory {tmp_path / place} cannot be used: "
    with pytest.raises(StoreUnavailableError, match=named), claimed_state_directory(tmp_path / place, "", 8):
        pass


@pytest.mark.parametrize("note", [b"", b"[1, 2", b"\xff\xfe"])
def test_a_note_that_cannot_be_read_refuses_the_start(tmp_path: Path, note: bytes) -> None:
    (tmp_path / NOTE_FILE).write_bytes(note)
    with (
        pytest.raises(StartRefusedError, match="it says whose state this is"),
        claimed_state_directory(tmp_path, "", 8),
    ):
        pass
