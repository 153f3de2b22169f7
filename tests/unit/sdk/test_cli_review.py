"""The review of an import on a terminal: whoever presses Ctrl-C at a question ends it, and leaves nothing."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.waiting import until
from tidegate.cli.connection import EXIT_INTERRUPTED

ROWS = "email,plan\na@x.example,pro\n"
SHOWN_S_MAX = 60
SCRIPT = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever was started in the background is born deaf to it
from functools import partial
import httpx
from tidegate.cli import connection, main
columns = [{"name": name, "attribute": name, "type": "text"} for name in ("email", "plan")]
told = {"id": "imp_1", "accepted": 0, "rejected": 0, "rows_read": 1, "columns": columns}
def answer(request):
    step = request.url.path.rpartition("/")[2]
    print("asked:", step, flush=True)
    return httpx.Response(200, json={**told, "state": "checked"})
connection.Tidegate = partial(connection.Tidegate, transport=httpx.MockTransport(answer))
main.run()
"""
QUESTIONS = ["Column of the contact's id", "Change a column", "Write these rows?"]


@pytest.mark.parametrize("at", range(len(QUESTIONS)))
def test_ctrl_c_at_a_question_ends_the_command_and_cancels_the_import(at: int, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(ROWS)
    screen, terminal = os.openpty()
    command = [sys.executable, "-c", SCRIPT, "import", str(file)]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    try:
        for question in QUESTIONS[:at]:
            read(screen, question)
            os.write(screen, b"\n")
        read(screen, QUESTIONS[at])
        # A signal that comes between the question and the wait for its answer is not heard before there is one.
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING, SHOWN_S_MAX, "the question waits")
        os.write(screen, b"\x03")
        assert "asked: cancel" in read(screen)
        assert process.wait(SHOWN_S_MAX) == EXIT_INTERRUPTED
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def read(screen: int, until: str | None = None) -> str:
    """What is shown from here on: until a text is there, or until the terminal is closed."""
    seen = ""
    deadline = time.monotonic() + SHOWN_S_MAX
    while until is None or until not in seen:
        ready, _, _ = select.select([screen], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{until or 'the end'} is not shown: {seen}"
        try:
            seen += os.read(screen, 65_536).decode(errors="replace")
        except OSError:  # Linux: nobody has the terminal open any more
            assert until is None, seen
            break
    return seen
