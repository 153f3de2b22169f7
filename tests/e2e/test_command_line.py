"""The command line against the real stack, as a script and as a person use it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.topics import Topic, topic_name
from tests.e2e.conftest import COMMAND, RunningSystem
from tests.services.sdk.producing import send_raw

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
WAIT_S = 60.0
REFUSED = 1


def tidegate(system: RunningSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command off a terminal."""
    environment = {**os.environ, "TIDEGATE_URL": system.console, "TIDEGATE_API_KEY": system.key}
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def typed(system: RunningSystem, answers: list[tuple[str, str]], *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal, and answer each question once it is asked; the exit code and the screen."""
    main, terminal = pty.openpty()
    environment = {**os.environ, "TIDEGATE_URL": system.console, "TIDEGATE_API_KEY": system.key, "COLUMNS": "160"}
    process = subprocess.Popen(
        [COMMAND, *arguments], env=environment, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    screen, seen, until = "", 0, time.monotonic() + WAIT_S
    try:
        while time.monotonic() < until:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    screen += os.read(main, 65_536).decode()
                except OSError:  # The terminal of a process that has ended cannot be read any more.
                    break
            if answers and (at := screen.find(answers[0][0], seen)) >= 0:
                seen = at + len(answers[0][0])
                os.write(main, answers.pop(0)[1].encode() + b"\n")
        assert not answers, f"was not asked {answers[0][0]!r}:\n{screen}"
        return process.wait(WAIT_S), screen
    finally:
        process.kill()
        process.wait()
        os.close(main)


def test_bench_times_every_write_until_its_change_and_leaves_nothing_behind(system: RunningSystem) -> None:
    ran = tidegate(system, "bench", "--rate", "50", "--seconds", "4", "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    sys.stdout.write(f"{result}\n")
    assert (result["writes"], result["changes"], result["lost"], result["refused"]) == (200, 200, 0, 0)
    for name in ("accepted_ms", "changed_ms"):
        assert 0 < result[name]["p50"] <= result[name]["p95"] <= result[name]["p99"] <= result[name]["max"]
    assert "bench-" not in tidegate(system, "segments", "list").stdout
    shown = tidegate(system, "bench", "--rate", "20", "--seconds", "1")
    assert shown.stdout.startswith("20 writes at 20/s for 1 s")


def test_a_segment_is_paused_and_resumed(system: RunningSystem) -> None:
    assert tidegate(system, "segments", "create", "cli-pro", "plan is Pro").returncode == 0
    assert tidegate(system, "segments", "pause", "cli-pro").stdout == "cli-pro version 2 is paused\n"
    assert tidegate(system, "segments", "pause", "cli-pro").stdout == "cli-pro version 2 is paused\n"
    assert json.loads(tidegate(system, "segments", "resume", "cli-pro", "--json").stdout)["state"] == "active"
    assert tidegate(system, "segments", "pause", "none").returncode == 3
    assert tidegate(system, "segments", "delete", "cli-pro").returncode == 0


def test_a_dead_letter_is_listed_shown_repaired_and_replayed(system: RunningSystem) -> None:
    topic = topic_name("", Topic.CONTACT_CHANGES)
    asyncio.run(send_raw(system.kafka, topic, b'{"attributes": {"cli": tru}}', key=b"cli-dead"))
    until = time.monotonic() + WAIT_S
    letters: list[dict[str, object]] = []
    while not letters:
        assert time.monotonic() < until, "the dead letter did not come"
        listed = json.loads(tidegate(system, "dead-letters", "list", "--json").stdout)
        letters = [letter for letter in listed if letter["key"] == "cli-dead"]
    place = f"{letters[0]['partition']}/{letters[0]['offset']}"
    assert place in tidegate(system, "dead-letters", "list", "--code", str(letters[0]["code"])).stdout
    shown = tidegate(system, "dead-letters", "show", place).stdout
    assert 'value\t{"attributes": {"cli": tru}}\n' in shown
    as_it_was = tidegate(system, "dead-letters", "replay", place)
    assert as_it_was.returncode == REFUSED
    assert place in as_it_was.stderr
    repaired = tidegate(system, "dead-letters", "replay", place, "--value", '{"attributes": {"cli": true}}')
    assert (repaired.returncode, repaired.stdout) == (0, "replayed 1 of 1\n"), repaired.stderr
    while "true" not in tidegate(system, "contacts", "get", "cli-dead").stdout:
        assert time.monotonic() < until, "the repaired record was not evaluated"
    assert tidegate(system, "dead-letters", "show", "0/999999").returncode == 3
    assert tidegate(system, "dead-letters", "show", "nonsense").returncode == 2


def people(directory: Path) -> Path:
    file = directory / "people.csv"
    file.write_text("Email,First Name,MRR\ncli-a@x,Ann,10\ncli-b@x,Ben,lots\ncli-c@x,Cid,\n")
    return file


def test_an_import_is_tried_out_without_writing(system: RunningSystem, tmp_path: Path) -> None:
    arguments = ("import", str(people(tmp_path)), "--id", "Email", "--type", "MRR=number", "--dry-run")
    ran = tidegate(system, *arguments)
    assert ran.returncode == REFUSED
    assert ran.stdout.startswith("3 rows: would create 2, update 0, leave 0, reject 1\n"), ran.stdout
    assert ran.stdout.endswith("nothing was written\n")
    assert json.loads(tidegate(system, *arguments, "--json").stdout)["dry_run"]["would_reject"] == 1
    assert tidegate(system, "contacts", "get", "cli-a@x").returncode == 3
    nameless = tidegate(system, "import", str(people(tmp_path)))
    assert (nameless.returncode, "--id" in nameless.stderr) == (2, True)


def test_a_person_reviews_an_import_and_then_writes_it(system: RunningSystem, tmp_path: Path) -> None:
    file = str(people(tmp_path))
    answers = [("contact's id", ""), ("Change a column", "First Name=called"), ("Change a column", "MRR=mrr:number"),
               ("Change a column", ""), ("Write these rows?", "n")]  # fmt: skip
    code, screen = typed(system, list(answers), "import", file)
    assert (code, "nothing was written" in screen) == (REFUSED, True), screen
    assert "would create 2" in screen
    assert tidegate(system, "contacts", "get", "cli-a@x").returncode == 3
    code, screen = typed(system, [*answers[:-1], ("Write these rows?", "y")], "import", file)
    assert code == REFUSED, screen
    assert "2 accepted, 1 rejected of 3 rows" in screen
    assert "MRR" in (tmp_path / "people.errors.csv").read_text()
    until = time.monotonic() + WAIT_S
    while tidegate(system, "contacts", "get", "cli-a@x").returncode != 0:
        assert time.monotonic() < until, "the import was not evaluated"
    contact = json.loads(tidegate(system, "contacts", "get", "cli-a@x", "--json").stdout)
    assert contact["attributes"].items() >= {"called": "Ann", "mrr": 10}.items()


def test_colour_is_for_terminals_only(system: RunningSystem) -> None:
    assert "\x1b[" not in tidegate(system, "doctor").stdout
    _, screen = typed(system, [], "doctor")
    assert "\x1b[" in screen
