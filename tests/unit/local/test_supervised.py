"""Restarts wait longer after each crash, forgive after a stable run, and leave a refusal down; time is by hand."""

from __future__ import annotations

from typing import cast

import pytest

from deploy.local.child import Child
from deploy.local.errors import LocalStackError
from deploy.local.supervised import (
    RESTART_DELAY_MAX_S,
    RESTART_DELAY_MIN_S,
    STABLE_AFTER_S,
    State,
    Supervised,
    ending,
    restart_delay_s,
)


class ChildByHand:
    """A process that ends when the test says so."""

    pid = 4711

    def __init__(self) -> None:
        self.code: int | None = None
        self.released = False

    def exit_code(self) -> int | None:
        return self.code

    def release(self) -> None:
        self.released = True

    def stop(self, grace_s: float) -> bool:
        self.code = -9 if grace_s == 0 else 0
        return grace_s > 0


class Launcher:
    def __init__(self) -> None:
        self.launched: list[ChildByHand] = []

    def __call__(self) -> Child:
        self.launched.append(ChildByHand())
        return cast("Child", self.launched[-1])


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def part(launcher: Launcher, said: list[str]) -> Supervised:
    part = Supervised("evaluator", launcher, said.append)
    part.start(0.0)
    return part


def test_a_crash_is_said_and_answered_after_the_delay_and_not_before(
    part: Supervised, launcher: Launcher, said: list[str]
) -> None:
    launcher.launched[0].code = 1
    assert part.check(10.0)
    assert not part.check(10.0 + RESTART_DELAY_MIN_S - 0.01)
    assert part.check(10.0 + RESTART_DELAY_MIN_S)
    assert part.state is State.RUNNING
    assert said == [
        "evaluator ended unexpectedly (exit code 1); starting it again in 0.5 s.",
        "evaluator was started again (pid 4711).",
    ]
    assert launcher.launched[0].released


def test_crashes_in_a_row_wait_twice_as_long_each_time_up_to_the_bound() -> None:
    delays = [restart_delay_s(crashes) for crashes in range(1, 100)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays == sorted(delays)
    assert max(delays) == RESTART_DELAY_MAX_S


def test_a_stable_run_makes_the_next_crash_the_first_again(part: Supervised, launcher: Launcher) -> None:
    now = 0.0
    for _ in range(3):
        launcher.launched[-1].code = -11
        part.check(now)
        now += RESTART_DELAY_MAX_S
        part.check(now)
    assert part.crashes == 3
    launcher.launched[-1].code = -11
    part.check(now + STABLE_AFTER_S)
    assert part.crashes == 1


def test_a_refusal_to_start_is_never_answered_with_a_restart(
    part: Supervised, launcher: Launcher, said: list[str]
) -> None:
    launcher.launched[0].code = 78
    assert part.check(1.0)
    assert not part.check(10_000.0)
    assert (part.state, len(launcher.launched)) == (State.REFUSED, 1)
    assert said == ["evaluator refused to start, and stays down until what its output says is repaired."]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/data/kafka/kafka.log"),
            "No such file or directory of /data/kafka/kafka.log",
        ),
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
    ],
)
def test_a_part_that_the_system_does_not_let_begin_again_is_one_line(
    part: Supervised, launcher: Launcher, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    def refused() -> Child:
        raise error

    launcher.launched[0].code = 1
    part.check(1.0)
    monkeypatch.setattr(part, "_launch", refused)
    with pytest.raises(LocalStackError) as refusal:
        part.check(1.0 + RESTART_DELAY_MIN_S)
    assert str(refusal.value) == f"evaluator cannot be started: {told}."
    assert part.stop(0)


def test_a_stopped_part_is_not_taken_for_a_crashed_one(part: Supervised, launcher: Launcher) -> None:
    assert part.stop(1.0)
    assert not part.check(100.0)
    assert len(launcher.launched) == 1


def test_a_part_that_waits_for_its_restart_stops_at_once(part: Supervised, launcher: Launcher) -> None:
    launcher.launched[0].code = 1
    part.check(0.0)
    assert part.stop(0.0)
    assert not part.check(100.0)
    assert len(launcher.launched) == 1


def test_an_ending_is_told_in_words() -> None:
    assert (ending(-9), ending(3)) == ("signal SIGKILL", "exit code 3")
