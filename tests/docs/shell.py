"""Runs the blocks of one page as its reader would: one shell after another, in one folder, on one running system."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from dataclasses import dataclass, field
from inspect import CO_COROUTINE
from pathlib import Path
from types import CodeType
from typing import Any

from tests.docs.blocks import ROOT, Block
from tests.e2e.conftest import RunningSystem

COMMAND_TIMEOUT_S = 300
"""What a command promises is in its output and exit code; this only ends one that hangs, on however busy a machine."""
SERVES_AFTER_S = 6
UNTIL_TIMEOUT_S = 180
ELLIPSIS = "…"
COPIED = ("docs",)
"""Folders that a documented command may write into; the rest of the project is seen through links."""


@dataclass
class Reader:
    """Somebody who follows a page. `variables` is what the page says was exported before."""

    system: RunningSystem
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    serving: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for entry in ROOT.iterdir():
            if entry.name in COPIED:
                shutil.copytree(entry, self.folder / entry.name)
            elif entry.name != ".git":
                (self.folder / entry.name).symlink_to(entry)
        data = self.folder / ".home" / ".local" / "share" / "tidegate"
        data.parent.mkdir(parents=True)
        data.symlink_to(self.system.folder)

    def run(self, block: Block) -> str:
        """Run a shell block; return what it printed. Variables that it exports stay."""
        script = f"set -euo pipefail\n{self._here(block.text)}\necho; env -0 > {self.folder}/.variables"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        printed = done.stdout.decode()
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{printed}\n{done.stderr.decode()}"
        told = (self.folder / ".variables").read_bytes().decode().split("\0")
        self.variables = dict(pair.split("=", 1) for pair in told if "=" in pair)
        return printed + done.stderr.decode()

    def serve(self, block: Block) -> None:
        """Start a block that does not end by itself; it must still run after a moment."""
        log = self.folder / f"serving-{block.line}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", self._here(block.text)],
                cwd=self.folder,
                env=self._environment(),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.serving.append(process)
        time.sleep(SERVES_AFTER_S)
        assert process.poll() is None, f"{block} ended with {process.returncode}:\n{log.read_text()}"

    def python(self, block: Block, names: dict[str, Any]) -> str:
        """Run a Python block in `names`, with `await` allowed at its top; return what it printed."""
        code = compile(self._here(block.text), str(block), "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            asyncio.run(_executed(code, names, block.options.get("until"), printed))
        return printed.getvalue()

    def close(self) -> None:
        """Stop what still serves."""
        for process in self.serving:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(COMMAND_TIMEOUT_S)

    def _here(self, text: str) -> str:
        """The page's addresses and key are those of `make run`; ours are this system's."""
        system = self.system
        for port, address in ((8080, system.ingest), (8081, system.console), (9092, system.kafka)):
            text = re.sub(rf"\b(?:localhost|127\.0\.0\.1):{port}\b", address.removeprefix("http://"), text)
        return re.sub(rf"\btg_{ELLIPSIS}", system.key, text)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder / ".home"),
            "TIDEGATE_URL": self.system.console,
            "TIDEGATE_API_KEY": self.system.key,
            "KEY": self.system.key,
            **self.variables,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}",
            "PYTHONWARNINGS": "error",
        }


async def _executed(code: CodeType, names: dict[str, Any], until: str | None, printed: io.StringIO) -> None:
    """Execute a block; one with `until` is ended when it has printed that."""
    result = eval(code, names)  # noqa: S307 - our own documentation
    if not code.co_flags & CO_COROUTINE:
        return
    if until is None:
        await result
        return
    running = asyncio.ensure_future(result)
    async with asyncio.timeout(UNTIL_TIMEOUT_S):
        while until not in printed.getvalue():
            if running.done():
                running.result()
                raise AssertionError(f"it ended without printing {until!r}: {printed.getvalue()!r}")
            await asyncio.sleep(0.05)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def differences(expected: str, printed: str) -> list[str]:
    """Return the lines of the documented output that were not printed, in order."""
    lines = iter(printed.splitlines())
    missing = []
    for wanted in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in wanted.strip().split(ELLIPSIS))
        if wanted.strip() and not any(re.fullmatch(pattern, line.strip()) for line in lines):
            missing.append(wanted)
            lines = iter(printed.splitlines())
    return missing


def tell(line: str) -> None:
    """Print a line of the list of what was executed."""
    sys.stdout.write(f"{line}\n")
