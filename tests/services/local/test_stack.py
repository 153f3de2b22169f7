"""A stack of a real broker and idle services: order, restarts, refusals, stops, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import psutil
import pytest

from deploy.local import record
from deploy.local.errors import LocalStackError
from deploy.local.local_key import local_key
from deploy.local.output import Output
from deploy.local.plan import StackPlan, StackPorts
from deploy.local.ports import free_ports
from deploy.local.stack import LocalStack, StopRequestedError
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope

SERVICES = tuple(StackPorts.documented().admin)


class IdlePlan(StackPlan):
    """The real plan, with idle services."""

    def command(self, service: str) -> list[str]:
        return [sys.executable, "-m", "tests.services.local.idle_service", service]


class RunningStack:
    """A stack that is watched on a thread, as a person would have it in a terminal."""

    def __init__(self, directory: Path, ports: StackPorts) -> None:
        self.shown = StringIO()
        self.stopping = threading.Event()
        self.stack = LocalStack(IdlePlan(directory, ports, 2), Output(self.shown, colour=False), self.stopping)
        self._watcher = threading.Thread(target=self.stack.watch)

    def start(self) -> RunningStack:
        self.stack.start()
        self._watcher.start()
        return self

    def stop(self) -> bool:
        self.stopping.set()
        if self._watcher.ident is not None:
            self._watcher.join()
        return self.stack.stop()


@pytest.fixture
def ports() -> StackPorts:
    ingest, console, read_api, kafka, controller, webhooks, *admin = free_ports(6 + len(SERVICES))
    return StackPorts(ingest, console, read_api, kafka, controller, webhooks, dict(zip(SERVICES, admin, strict=True)))


@pytest.fixture
def running(tmp_path: Path, ports: StackPorts) -> Iterator[RunningStack]:
    stack = RunningStack(tmp_path, ports).start()
    try:
        yield stack
    finally:
        stack.stop()


def eventually(holds: Callable[[], bool], within_s: float = 90) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def recorded_pid(directory: Path, name: str) -> int | None:
    processes = json.loads((directory / "stack.json").read_text())["processes"]
    return processes[name]["pid"] if name in processes else None


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.broker
def test_a_stack_starts_keeps_a_killed_part_running_and_leaves_no_process(
    running: RunningStack, tmp_path: Path
) -> None:
    before = running.stack.pids
    assert set(before) == {"kafka", *SERVICES}
    assert running.shown.getvalue().index("Creating topics") < running.shown.getvalue().index("Starting evaluator")

    os.kill(before["ingest"], signal.SIGKILL)
    assert eventually(lambda: running.stack.pids["ingest"] != before["ingest"])
    assert "ingest ended unexpectedly (signal SIGKILL); starting it again in 0.5 s." in running.shown.getvalue()
    assert f"ingest was started again (pid {running.stack.pids['ingest']})." in running.shown.getvalue()
    assert {name: pid for name, pid in running.stack.pids.items() if name != "ingest"} == {
        name: pid for name, pid in before.items() if name != "ingest"
    }
    # The record follows what it tells of.
    assert eventually(lambda: recorded_pid(tmp_path, "ingest") == running.stack.pids["ingest"])

    began = time.monotonic()
    after = running.stack.pids
    assert running.stop()
    assert time.monotonic() - began < 20
    assert all(gone(pid) for pid in [*before.values(), *after.values()])
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.broker
def test_a_killed_broker_is_started_again_on_its_data(running: RunningStack, ports: StackPorts) -> None:
    before = running.stack.pids["kafka"]
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: running.stack.pids["kafka"] != before)
    assert eventually(lambda: f"pid {running.stack.pids['kafka']}" in running.shown.getvalue())
    assert "kafka ended unexpectedly (signal SIGKILL)" in running.shown.getvalue()


@pytest.mark.broker
def test_a_second_stack_on_the_same_directory_is_refused_and_harms_nothing(
    running: RunningStack, tmp_path: Path, ports: StackPorts
) -> None:
    second = LocalStack(IdlePlan(tmp_path, ports, 2), Output(StringIO(), colour=False), threading.Event())
    with pytest.raises(LocalStackError) as refusal:
        second.start()
    assert str(refusal.value) == (
        f"Another stack (pid {os.getpid()}) runs on {tmp_path}; stop it, or choose another --data-dir."
    )
    assert (tmp_path / "stack.json").exists()
    assert not any(gone(pid) for pid in running.stack.pids.values())


@pytest.mark.broker
def test_another_number_of_partitions_is_refused_and_the_option_named(
    running: RunningStack, tmp_path: Path, ports: StackPorts
) -> None:
    running.stop()
    other = LocalStack(IdlePlan(tmp_path, ports, 3), Output(StringIO(), colour=False), threading.Event())
    with pytest.raises(
        LocalStackError, match=r"memberships has 2 partitions, expected 3.*that is --partitions, as --data-dir"
    ):
        other.start()


@pytest.mark.broker
def test_the_local_key_is_made_once_kept_private_and_replaced_when_revoked(tmp_path: Path, ports: StackPorts) -> None:
    keys = KeyFile(tmp_path / KEY_FILE_NAME)
    found = []
    for _ in range(2):
        stack = RunningStack(tmp_path, ports).start()
        found.append(stack.stack.key)
        assert stack.stop()
    assert found[0] == found[1] == (tmp_path / "local-key").read_text().strip()
    assert (tmp_path / "local-key").stat().st_mode & 0o777 == 0o600
    assert found[0] not in (tmp_path / KEY_FILE_NAME).read_text()
    key = keys.verify(found[0])
    assert key is not None
    assert all(key.allows(scope) for scope in Scope)


@pytest.mark.broker
def test_a_service_that_refuses_to_start_ends_the_start_in_one_line(
    tmp_path: Path, ports: StackPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TEST_REFUSE", "scheduler")
    stack = RunningStack(tmp_path, ports)
    with pytest.raises(LocalStackError, match="scheduler refused to start"):
        stack.start()
    assert all(gone(pid) for pid in stack.stack.pids.values())
    assert eventually(lambda: "told to refuse" in stack.shown.getvalue())


def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path, ports: StackPorts) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.console))
        taken.listen()
        with pytest.raises(LocalStackError) as refusal:
            RunningStack(tmp_path, ports).start()
    assert str(refusal.value) == (
        f"Port {ports.console}, needed for the dashboard, is in use on 127.0.0.1 (Address already in use); "
        "stop what listens there, or choose other ports with --port-base."
    )


def test_a_full_disk_is_one_line_that_says_how_much_is_needed(
    tmp_path: Path, ports: StackPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.stack.DISK_FREE_MIN_BYTES", 1 << 60)
    with pytest.raises(LocalStackError, match=r"MiB of disk left, \d+ MiB are needed; free some"):
        RunningStack(tmp_path, ports).start()


def test_a_key_file_that_cannot_be_read_is_one_line_before_anything_is_started(
    tmp_path: Path, ports: StackPorts
) -> None:
    (tmp_path / KEY_FILE_NAME).write_bytes(b"{")
    stack = RunningStack(tmp_path, ports)
    with pytest.raises(LocalStackError, match=r"(?s)^There is no API key: the key file .* restore it, or remove it"):
        stack.start()
    assert stack.stack.pids == {}


@pytest.mark.parametrize(
    ("in_the_way", "told"),
    [
        (
            "kafka/server.properties",
            "Kafka's files cannot be written (Is a directory); check who owns {directory}/kafka.",
        ),
        ("local-key", "There is no API key: {directory}/local-key cannot be used (Is a directory)."),
    ],
)
def test_a_file_of_the_directory_that_cannot_be_used_is_one_line(
    tmp_path: Path, ports: StackPorts, in_the_way: str, told: str
) -> None:
    (tmp_path / in_the_way).mkdir(parents=True)
    with pytest.raises(LocalStackError) as refusal:
        RunningStack(tmp_path, ports).start()
    assert str(refusal.value) == told.format(directory=tmp_path)


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b"{}", b"\xff\x00"])
def test_half_a_record_left_by_a_machine_that_went_down_names_no_process(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "stack.json").write_bytes(left)
    said: list[str] = []
    record.end_leftovers(tmp_path, said.append)
    assert said == []


@pytest.mark.parametrize("left", [b"", b"tg_", b"\xff\x00"])
def test_half_a_local_key_is_replaced(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "local-key").write_bytes(left)
    made = local_key(tmp_path)
    assert KeyFile(tmp_path / KEY_FILE_NAME).verify(made) is not None
    assert local_key(tmp_path) == made


def test_a_record_that_cannot_be_written_does_not_end_the_stack(tmp_path: Path, ports: StackPorts) -> None:
    stack = RunningStack(tmp_path, ports)
    (tmp_path / "stack.json.new").mkdir()
    stack.stack._record()
    assert "stack.json cannot be written (Is a directory)" in stack.shown.getvalue()


@pytest.mark.broker
def test_a_broker_that_ends_while_topics_are_made_is_one_line_at_once(
    tmp_path: Path, ports: StackPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = RunningStack(tmp_path, ports)

    async def cut_off(_settings: object) -> None:
        os.kill(stack.stack.pids["kafka"], signal.SIGKILL)
        await asyncio.Event().wait()

    monkeypatch.setattr("deploy.local.stack.ensure_topics", cut_off)
    with pytest.raises(LocalStackError) as refusal:
        stack.start()
    log = tmp_path / "kafka" / "kafka.log"
    assert str(refusal.value) == f"Kafka ended while topics were made (signal SIGKILL); its log is {log}"
    assert all(gone(pid) for pid in stack.stack.pids.values())


@pytest.mark.broker
def test_a_stop_asked_for_while_topics_are_made_is_heeded(
    tmp_path: Path, ports: StackPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = RunningStack(tmp_path, ports)

    async def told_to_stop(_settings: object) -> None:
        stack.stopping.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("deploy.local.stack.ensure_topics", told_to_stop)
    with pytest.raises(StopRequestedError):
        stack.start()
    assert all(gone(pid) for pid in stack.stack.pids.values())


def test_a_stop_asked_for_during_the_start_ends_it(tmp_path: Path, ports: StackPorts) -> None:
    stack = RunningStack(tmp_path, ports)
    stack.stopping.set()
    with pytest.raises(StopRequestedError):
        stack.start()
    assert stack.stack.pids == {}
