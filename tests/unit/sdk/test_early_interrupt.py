"""A Ctrl-C while the command line is still being imported, which takes a second on a slow machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "tidegate.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.{before})
sys.meta_path.insert(0, Interrupting())
sys.argv = ["tidegate", "--help"]
from {module} import {function}
{function}()
"""


@pytest.mark.parametrize(("before", "code"), [("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)])
def test_a_ctrl_c_before_the_command_has_begun_ends_it_without_a_traceback(before: str, code: int) -> None:
    module, function = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["tidegate"].split(":")
    script = INTERRUPTED.format(before=before, module=module, function=function)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
