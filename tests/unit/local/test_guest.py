"""A module that runs on the terminal beside the stack: how its end and the stack's end belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import cast

import psutil
import pytest

from deploy.local.plan import StackPlan, StackPorts
from deploy.local.stack import LocalStack
from deploy.local.up import _watch_with_guest

TICKS_MAX = 400


class StackByHand:
    """A stack that only ticks, and ends after `ticks` unless it is asked to before."""

    key = "tg_local"

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self.asked = Event()

    def watch(self, on_tick: Callable[[], None]) -> None:
        for _ in range(self._ticks):
            if self.asked.wait(0.05):
                return
            on_tick()

    def request_stop(self) -> None:
        self.asked.set()


@pytest.fixture
def plan(tmp_path: Path) -> StackPlan:
    return StackPlan(tmp_path, StackPorts.from_base(20_000), 2)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}")

    def write(body: str) -> str:
        (tmp_path / "guest_module.py").write_text(body)
        return "guest_module"

    return write


def run(stack: StackByHand, plan: StackPlan, name: str) -> int:
    before = set(psutil.Process().children(recursive=True))
    code = _watch_with_guest(cast("LocalStack", stack), plan, name)
    assert set(psutil.Process().children(recursive=True)) <= before
    return code


def test_a_module_that_fails_stops_the_stack_with_its_exit_code(plan: StackPlan, module: Callable[[str], str]) -> None:
    stack = StackByHand(TICKS_MAX)
    assert run(stack, plan, module("raise SystemExit(3)")) == 3
    assert stack.asked.is_set()


def test_a_module_that_ends_well_leaves_the_stack_running(plan: StackPlan, module: Callable[[str], str]) -> None:
    stack = StackByHand(20)
    assert run(stack, plan, module("pass")) == 0
    assert not stack.asked.is_set()


def test_a_module_that_does_not_end_is_ended_with_the_stack(plan: StackPlan, module: Callable[[str], str]) -> None:
    assert run(StackByHand(1), plan, module("import time; time.sleep(60)")) == 0


def test_a_module_is_told_where_the_stack_is_and_its_key(
    plan: StackPlan, module: Callable[[str], str], tmp_path: Path
) -> None:
    wanted = ["TIDEGATE_API_KEY", "TIDEGATE_CONSOLE_URL", "TIDEGATE_INGEST_URL", "TIDEGATE_KAFKA_BOOTSTRAP"]
    out = tmp_path / "told"
    body = f"import os, pathlib; pathlib.Path({str(out)!r}).write_text(' '.join(os.environ[n] for n in {wanted!r}))"
    stack = StackByHand(TICKS_MAX)
    assert run(stack, plan, module(body + "; raise SystemExit(1)")) == 1
    assert out.read_text() == "tg_local http://127.0.0.1:20001 http://127.0.0.1:20000 127.0.0.1:20003"
