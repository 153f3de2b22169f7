"""`pip install tidegate` into an empty environment, and nothing else, consumes membership changes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import Step, Stream

ROOT = Path(__file__).parents[3]
WAIT_S = 240.0
CONSUMER = """
import asyncio, sys
from tidegate import Memberships

async def main(bootstrap, prefix):
    async with Memberships(bootstrap, group="fresh", topic_prefix=prefix, start="earliest") as changes:
        seen = 0
        async for change in changes:
            print("enter" if change.entered else "exit", change.segment_id, change.contact_id, flush=True)
            seen += 1
            if seen == 2:
                break
    absent = {"fastapi", "faust", "rocksdict", "uvicorn", "structlog"}
    assert not absent & {name.split(".")[0] for name in sys.modules}

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.broker
@pytest.mark.timeout(300)
async def test_a_fresh_environment_with_the_base_package_alone_consumes(
    workspace: Workspace, stream: Stream, tmp_path: Path
) -> None:
    await stream.commit(Step("u", 1, ("a",)), Step("u", 2, ("a",), enters=False))
    python = await fresh_environment(tmp_path)
    listed = await run(find_uv(), "pip", "list", "--python", str(python))
    assert "tidegate" in listed
    assert not {"fastapi", "faust-streaming", "rocksdict"} & set(listed.split())
    told = await run(str(python), "-I", "-c", CONSUMER, workspace.bootstrap, workspace.prefix)
    assert told.splitlines() == ["enter a u", "exit a u"]
    shown = await run(str(python.with_name("tidegate")), "--help")
    assert "backtest" in shown


async def fresh_environment(directory: Path) -> Path:
    """Build the wheel, install it and its own dependencies into an empty environment, and give its Python."""
    uv, environment = find_uv(), directory / "environment"
    await run(uv, "build", "--quiet", "--wheel", "--out-dir", str(directory / "wheel"), str(ROOT))
    (wheel,) = (directory / "wheel").glob("tidegate-*.whl")
    await run(uv, "venv", "--quiet", str(environment))
    python = environment / "bin" / "python"
    await run(uv, "pip", "install", "--quiet", "--python", str(python), str(wheel))
    return python


def find_uv() -> str:
    """The uv that set this project up."""
    found = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    assert found is not None, "there is no uv; `make setup` brings one"
    return found


async def run(*command: str) -> str:
    """Run a command from outside the tree; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        told, complained = await asyncio.wait_for(process.communicate(), WAIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[0]}: {complained.decode()}"
    return told.decode()
