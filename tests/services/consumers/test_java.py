"""The Java example, built by Maven and run on a JDK against the real broker.

Rule: where there is no Maven or no JDK this is told as not run, and is a failure when `TIDEGATE_REQUIRE_JAVA` is 1.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from examples.plain_consumer import open_changes
from schemas.topics import Topic, topic_name
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import Step, Stream
from tests.unit.sdk.test_grouping import NO_CHANGES

PROJECT = Path(__file__).parents[3] / "examples" / "consumers" / "java"
TOOLS = ("mvn", "javac")
REQUIRED = os.environ.get("TIDEGATE_REQUIRE_JAVA") == "1"
ABSENT = [tool for tool in TOOLS if shutil.which(tool) is None]
WAIT_S = 240.0
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.broker
@pytest.mark.timeout(300)
async def test_the_java_consumer_gives_each_committed_change_once_as_the_python_one_does(
    workspace: Workspace, stream: Stream, tmp_path: Path
) -> None:
    demand_java()
    enter, leave = Step("ünï|x", 1, ("a", "b")), Step("ünï|x", 2, ("a",), enters=False)
    await stream.commit(enter, leave)
    await stream.abort(Step("ghost", 3, ("a",)))
    await stream.commit(enter, leave)
    for value in NO_CHANGES:
        await stream.put("ünï|x", "a", value)
    await stream.erase("ünï|x", "a")
    await stream.commit(Step("ünï|x", 4, ("a",)))
    topic = topic_name(workspace.prefix, Topic.MEMBERSHIPS)
    code, lines = await run_maven(tmp_path, f"{workspace.bootstrap} {topic} 4")
    assert code == 0, lines
    assert sum(line.endswith(": no membership change") for line in lines) == len(NO_CHANGES)
    printed = [line for line in lines if line.startswith(("enter", "exit"))]
    assert printed == [
        "enter a ünï|x write ...",
        "enter b ünï|x write",
        "exit a ünï|x write",
        "enter a ünï|x write",
    ]
    sys.stdout.write("the Java consumer printed:\n" + "".join(f"  {line}\n" for line in printed))
    async with open_changes(workspace.bootstrap, topic) as changes, asyncio.timeout(WAIT_S):
        taken = [await anext(changes) for _ in printed]
    told = [f"{change['change']} {change['segment_id']} {change['contact_id']}" for change in taken]
    assert [" ".join(line.split()[:3]) for line in printed] == told


@pytest.mark.timeout(300)
async def test_the_java_consumer_without_what_it_needs_shows_its_usage(tmp_path: Path) -> None:
    demand_java()
    code, lines = await run_maven(tmp_path, "localhost:9092")
    assert (code, lines[-1:]) == (2, ["usage: MembershipConsumer BOOTSTRAP TOPIC [CHANGES]"])


def demand_java() -> None:
    """Say that the test is not run where there is no Java; fail where there must be."""
    if ABSENT:
        reason = f"the Java example needs {', '.join(ABSENT)}, which this machine has not"
        if REQUIRED:
            pytest.fail(f"{reason}, and TIDEGATE_REQUIRE_JAVA is 1")
        pytest.skip(f"it was not run: {reason}")


async def run_maven(output: Path, arguments: str) -> tuple[int | None, list[str]]:
    """Build the project outside the tree, run it, and give its exit code and the lines that it printed."""
    process = await asyncio.create_subprocess_exec(
        "mvn",
        *(
            "--quiet",
            "--batch-mode",
            "-Dstyle.color=never",
            "compile",
            "exec:java",
            f"-Doutput={output}",
            f"-Dexec.args={arguments}",
        ),
        cwd=PROJECT,
        env={**os.environ, "MAVEN_OPTS": "-Xmx256m -Dfile.encoding=UTF-8", "LC_ALL": "C.UTF-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # Maven resets the terminal's colours before the program's first line, terminal or not.
    return process.returncode, TERMINAL_CODE.sub("", printed.decode()).splitlines()
