"""A consumer that is killed again and again: no gap and no repeat in what its workflow has done."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import Step, Stream
from tests.waiting import until

pytestmark = pytest.mark.broker
KILLS = 10
CONTACTS = 40
ROUNDS_MAX = 2_000
"""Written before the last kill at most. However slow the machine, each kill falls into changes that go on."""
WAIT_S = 120.0


@pytest.mark.timeout(600)
async def test_a_workflow_killed_ten_times_has_no_gap_and_no_repeat(
    workspace: Workspace, stream: Stream, tmp_path: Path
) -> None:
    file = tmp_path / "enrolments.db"
    steps: list[Step] = []
    killed = asyncio.Event()
    writing = asyncio.create_task(_write(stream, steps, killed))
    for _ in range(KILLS):
        before = _count(file)
        consumer = await _start(workspace, file)
        await until(partial(_went_on, consumer, file, before), WAIT_S, "another change to be handled", every_s=0.02)
        consumer.send_signal(signal.SIGKILL)
        await consumer.wait()
    assert not writing.done(), "the writer ended before the last kill"
    killed.set()
    await writing
    consumer = await _start(workspace, file)
    last = {step.contact: step.at for step in steps}
    await until(
        lambda: _last_versions(file), WAIT_S, "every contact's last change", satisfies=lambda found: found == last
    )
    consumer.send_signal(signal.SIGKILL)
    await consumer.wait()
    _judge(file, steps)


def _went_on(consumer: asyncio.subprocess.Process, file: Path, before: int) -> bool:
    assert consumer.returncode is None, "the consumer ended by itself"
    return _count(file) > before


async def _write(stream: Stream, steps: list[Step], killed: asyncio.Event) -> None:
    """Write round by round, and one round more after the last kill."""
    for turn in range(ROUNDS_MAX):
        last = killed.is_set()
        written = [
            Step(f"u{contact}", turn * CONTACTS + contact, ("trial-ending",), enters=turn % 2 == 0)
            for contact in range(CONTACTS)
        ]
        await stream.commit(*written)
        steps += written
        if last:
            return
        await asyncio.sleep(0.15)


async def _start(workspace: Workspace, file: Path) -> asyncio.subprocess.Process:
    module = "tests.services.sdk.enrolments"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, workspace.bootstrap, workspace.prefix, str(file)
    )


def _query(file: Path, query: str) -> list[tuple[str, int, int]]:
    if not file.exists():
        return []
    rows = sqlite3.connect(file, timeout=5)
    try:
        return rows.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        rows.close()


def _count(file: Path) -> int:
    return len(_query(file, "SELECT contact, at, member FROM effects"))


def _last_versions(file: Path) -> dict[str, int]:
    rows = _query(file, "SELECT contact, max(at), 0 FROM effects GROUP BY contact")
    return {contact: at % 1_000_000 for contact, at, _ in rows}


def _judge(file: Path, steps: list[Step]) -> None:
    """From the first effect of a contact on (where its snapshot stood), each step is there once, in order."""
    written: dict[str, list[tuple[int, bool]]] = {}
    for step in steps:
        written.setdefault(step.contact, []).append((step.at, step.enters))
    done: dict[str, list[tuple[int, bool]]] = {}
    for contact, at, member in _query(file, "SELECT contact, at, member FROM effects ORDER BY rowid"):
        done.setdefault(contact, []).append((at % 1_000_000, bool(member)))
    assert set(done) == set(written)
    for contact, effects in done.items():
        begins = written[contact].index(effects[0])
        assert effects == written[contact][begins:], f"{contact}: a gap or a repeat"
    sys.stdout.write(
        f"{KILLS} kills, {len(steps)} changes written, {sum(map(len, done.values()))} effects from each contact's "
        "snapshot on: 0 gaps, 0 repeats\n"
    )
