"""Where `tidegate up` keeps its data, and how other shells are told: as every other command is, by one variable."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner

from deploy.local import up
from deploy.local.output import Output
from deploy.local.plan import StackPlan, StackPorts
from deploy.local.stack import LocalStack
from tidegate.cli import main
from tidegate.cli import up as up_command


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[up.UpOptions]:
    made: list[up.UpOptions] = []

    def run_stack(options: up.UpOptions) -> int:
        made.append(options)
        return up.EXIT_OK

    monkeypatch.setattr(up_command, "run_stack", run_stack)
    return made


def test_the_data_folder_of_the_environment_is_that_of_up_too(
    chosen: list[up.UpOptions], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_DATA_DIR", str(tmp_path / "named"))
    for arguments in (["up"], ["up", "--data-dir", str(tmp_path / "said")], ["up", "--ephemeral"]):
        assert CliRunner().invoke(main.app, arguments).exit_code == 0
    assert [options.data_directory for options in chosen] == [tmp_path / "named", tmp_path / "said", None]


@pytest.mark.parametrize(("name", "told"), [("data", "data"), ("my data", "'{}/my data'")])
def test_a_stack_in_another_folder_says_how_other_shells_find_it(name: str, told: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    expected = told.format(tmp_path) if "{" in told else str(folder)
    assert f"Other shells find it after: export TIDEGATE_DATA_DIR={expected}" in announced(folder)


def test_a_stack_in_the_usual_folder_needs_no_word_about_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path)
    assert not any("TIDEGATE_DATA_DIR" in line for line in announced(tmp_path))


def test_data_that_is_removed_at_the_end_is_not_said_to_stay(tmp_path: Path) -> None:
    assert announced(tmp_path)[0].endswith(f"Ctrl-C stops it; the data stays in {tmp_path}.")
    assert announced(tmp_path, up.UpOptions(ephemeral=True))[0].endswith("Ctrl-C stops it and removes all data.")


@pytest.mark.parametrize(("before", "is_heeded"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_terminal_that_is_gone_stops_a_stack_unless_nohup_started_it(
    before: signal.Handlers, is_heeded: bool
) -> None:
    stopping, former = Event(), signal.signal(signal.SIGHUP, before)
    try:
        with up._signals(stopping, cast("LocalStack", SimpleNamespace()), None):
            signal.raise_signal(signal.SIGHUP)
            assert stopping.is_set() is is_heeded
        assert signal.getsignal(signal.SIGHUP) is before
    finally:
        signal.signal(signal.SIGHUP, former)


class Ended(BaseException):
    """Where the process would be gone."""


@pytest.mark.parametrize("is_temporary", [True, False])
def test_a_stack_that_is_ended_at_once_leaves_only_data_that_is_to_stay(
    is_temporary: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(code: int) -> None:
        assert code == up.EXIT_CUT_OFF
        raise Ended

    monkeypatch.setattr("os._exit", ended)
    folder, killed = tmp_path / "data", []
    (folder / "kafka").mkdir(parents=True)
    stack = cast("LocalStack", SimpleNamespace(kill=lambda: killed.append(True)))
    with up._signals(Event(), stack, folder if is_temporary else None):
        signal.raise_signal(signal.SIGTERM)
        assert not killed
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
    assert killed
    assert folder.exists() is not is_temporary


def announced(folder: Path, options: up.UpOptions | None = None) -> list[str]:
    """What a stack whose data is in `folder` says when it is ready."""
    stream = io.StringIO()
    plan = StackPlan(folder, StackPorts.from_base(20_000), 4, 1)
    stack = cast("LocalStack", SimpleNamespace(key="tg_local", pids={}))
    up._announce(stack, plan, options or up.UpOptions(), Output(stream, colour=False, log_directory=None), took_s=1.0)
    return stream.getvalue().splitlines()
