"""How a service's process ends: the exit code, and what its log says, for each way it can go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from deploy.local.ports import free_ports

WAIT_S = 90.0
PROGRAM = """
import asyncio
from services.runtime.application import run_service
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.settings import RuntimeSettings

async def main(context):
    {body}

run_service("sample", RuntimeSettings, main)
"""


class Process:
    """One service process: a module's, or one that runs `body` as its main coroutine."""

    def __init__(self, body: str = "", module: str | None = None, **settings: str) -> None:
        (self.port,) = free_ports(1)
        environment = {**os.environ, "TIDEGATE_ADMIN_PORT": str(self.port), **settings}
        self._process = subprocess.Popen(
            [sys.executable, *(("-c", PROGRAM.format(body=body)) if module is None else ("-m", module))],
            env=environment,
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            text=True,
        )

    def await_ready(self, awaited: int = 200) -> None:
        """Wait until it answers so: 503 says that it has started and is not ready."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=1):
                    return
            except urllib.error.HTTPError as answer:
                answer.close()
                if answer.code == awaited:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("the process did not get ready")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, list[dict[str, object]]]:
        shown, _ = self._process.communicate(timeout=WAIT_S)
        return self._process.returncode, [json.loads(line) for line in shown.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_service_finish_and_ends_with_0(number: signal.Signals) -> None:
    process = Process("context.health.ready(); await context.stopping.wait(); await asyncio.sleep(0.2)")
    process.await_ready()
    process.send(number)
    code, log = process.end()
    assert (code, [line["event"] for line in log]) == (0, ["started", "stopping", "stopped"])


def test_a_service_that_does_not_stop_in_its_grace_is_cut_off_and_ends_with_1() -> None:
    process = Process("context.health.ready(); await asyncio.sleep(60)", TIDEGATE_STOP_GRACE_MS="300")
    process.await_ready()
    process.send(signal.SIGTERM)
    code, log = process.end()
    assert code == 1
    assert log[-1]["event"] == "stop took too long; work in hand is cut off"


STUBBORN = """
    async def on_and_on():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
"""


def test_what_a_library_never_ends_does_not_keep_the_process() -> None:
    code, log = Process(f'{STUBBORN}\n    task = asyncio.create_task(on_and_on()); raise ServiceError("gone")').end()
    assert (code, log[-1]["reason"]) == (1, "gone")


def test_a_failure_whose_clean_up_never_ends_is_cut_off_after_the_grace_and_told() -> None:
    body = """
    from services.runtime.web import listen, serve
    async def reading():
        raise ServiceError("gone")
    try:
        await serve(None, listen("127.0.0.1", 0), context.stopping, lambda: None, [asyncio.create_task(reading())])
    finally:
        await asyncio.sleep(600)
"""
    code, log = Process(body, TIDEGATE_STOP_GRACE_MS="300").end()
    assert code == 1
    assert "gone" in [line.get("reason") for line in log]
    assert log[-1]["event"] == "stop took too long; work in hand is cut off"


def test_a_thread_that_is_left_working_does_not_keep_the_process() -> None:
    work = "import time; asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)"
    assert Process(f"{work}; await asyncio.sleep(0.1)").end()[0] == 0


def test_work_that_ignores_being_cut_off_does_not_keep_the_process() -> None:
    process = Process(f"{STUBBORN}\n    context.health.ready(); await on_and_on()", TIDEGATE_STOP_GRACE_MS="300")
    process.await_ready()
    process.send(signal.SIGTERM)
    assert process.end()[0] == 1


def test_a_crash_ends_with_1_and_shows_its_traceback() -> None:
    code, log = Process('raise ValueError("our bug")').end()
    assert code == 1
    assert "ValueError: our bug" in str(log[-1]["exception"])


def test_a_failure_of_the_world_ends_with_1_and_names_its_place() -> None:
    code, log = Process('raise ServiceError("fenced", topic="memberships", partition=2)').end()
    assert (code, log[-1]["reason"]) == (1, "fenced (topic memberships, partition 2)")


def test_a_refusal_ends_with_78_so_that_nobody_restarts_it() -> None:
    code, log = Process('raise StartRefusedError("topic segments is missing")').end()
    assert (code, log[-1]["event"], log[-1]["reason"]) == (78, "start refused", "topic segments is missing")


def test_an_unusable_setting_ends_with_78_before_anything_starts() -> None:
    code, log = Process("pass", TIDEGATE_PARTITIONS="0").end()
    assert code == 78
    assert [line["event"] for line in log] == ["start refused"]
    assert "TIDEGATE_PARTITIONS" in str(log[0]["reason"])


@pytest.mark.parametrize("name", ["console", "evaluator", "ingest", "scheduler", "webhooks"])
def test_a_service_that_waits_for_a_broker_ends_with_0_when_it_is_told_to_stop(name: str, tmp_path: Path) -> None:
    nobody, *ports = free_ports(5)
    process = Process(
        module=f"services.{name}",
        TIDEGATE_KAFKA_BOOTSTRAP=f"127.0.0.1:{nobody}",
        TIDEGATE_DATA_DIR=str(tmp_path),
        TIDEGATE_INGEST_PORT=str(ports[0]),
        TIDEGATE_CONSOLE_PORT=str(ports[1]),
        TIDEGATE_WEBHOOKS_PORT=str(ports[2]),
        TIDEGATE_READ_API_PORT=str(ports[3]),
    )
    process.await_ready(503)
    process.send(signal.SIGTERM)
    code, log = process.end()
    assert (code, log[-1]["event"]) == (0, "stopped")
