"""Where a backtest writes: what is no file is written into, and never replaced by one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from typer.testing import CliRunner

from tidegate.cli import main

CHANGES = "at,segment_id,contact_id,change,cause,row\n2026-01-01T00:00:00Z,pros,u1,enter,write,1\n"


def backtest(directory: Path, changes: Path) -> int:
    history = directory / "history.csv"
    history.write_text("contact_id,at,plan\nu1,2026-01-01,pro\n")
    wanted = ["backtest", str(history), "--segment", "pros: plan is pro", "--changes", str(changes)]
    return CliRunner().invoke(main.app, wanted).exit_code


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert backtest(tmp_path, pipe) == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.read(reading, 4_096).decode() == CHANGES
    os.close(reading)


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "target.csv"
    link.symlink_to(target)
    assert backtest(tmp_path, link) == 0
    assert (link.is_symlink(), target.read_text()) == (True, CHANGES)
