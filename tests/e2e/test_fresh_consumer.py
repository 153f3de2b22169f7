"""An environment with nothing but the base package consumes from the whole local stack: members first, then changes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import RunningSystem
from tests.services.consumers.test_fresh_install import WAIT_S, fresh_environment

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
CONTACTS = 20
CONSUMER = """
import asyncio, sys
from tidegate import Memberships

async def main(bootstrap, wanted):
    async with Memberships(bootstrap, group="fresh-on-stack", segments=["fresh-gold"]) as changes:
        seen = 0
        async for change in changes:
            print("enter" if change.entered else "exit", change.contact_id, flush=True)
            seen += 1
            if seen == int(wanted):
                break
    absent = {"fastapi", "faust", "rocksdict", "uvicorn", "structlog"}
    assert not absent & {name.split(".")[0] for name in sys.modules}

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_base_package_alone_takes_a_snapshot_and_then_every_change(
    system: RunningSystem, tmp_path: Path
) -> None:
    contacts = [f"fresh-{number}" for number in range(CONTACTS)]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {system.key}"}, timeout=WAIT_S) as http:

        async def write(plan: str) -> None:
            body = {"contacts": [{"id": contact, "attributes": {"plan": plan}} for contact in contacts]}
            answer = await http.post(f"{system.ingest}/api/v2/contacts", json=body, headers={"Prefer": "wait=10"})
            assert answer.is_success, answer.text

        await http.post(f"{system.ingest}/api/v2/segments", json={"id": "fresh-gold", "where": "plan is Gold"})
        await write("gold")
        python = await fresh_environment(tmp_path)
        command = (str(python), "-I", "-c", CONSUMER, system.kafka, str(3 * CONTACTS))
        consumer = await asyncio.create_subprocess_exec(*command, cwd="/", stdout=asyncio.subprocess.PIPE)
        assert consumer.stdout is not None
        try:
            async with asyncio.timeout(WAIT_S):
                snapshot = [(await consumer.stdout.readline()).decode().strip() for _ in contacts]
                await write("lead")
                await write("gold")
                rest = (await consumer.stdout.read()).decode().splitlines()
                assert await consumer.wait() == 0
        finally:
            if consumer.returncode is None:
                consumer.kill()
                await consumer.wait()
    assert sorted(snapshot) == sorted(f"enter {contact}" for contact in contacts)
    for contact in contacts:
        assert [line for line in rest if line.endswith(f" {contact}")] == [f"exit {contact}", f"enter {contact}"]
    sys.stdout.write(f"fresh environment: {len(snapshot)} members, then {len(rest)} changes, nothing else installed\n")
