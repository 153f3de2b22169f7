"""A log of the local stack stays within its bound and keeps what was printed last."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from deploy.local import log_file
from deploy.local.errors import LocalStackError
from deploy.local.kafka import LocalKafka
from deploy.local.log_file import LogFile, last_lines
from deploy.local.output import LAST_LINES_MAX, Output
from tests.unit.local.test_output import follow

BOUND = 1_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "LOG_BYTES_MAX", BOUND)


def test_a_stack_that_runs_for_long_keeps_twice_the_bound_at_most_and_the_newest_lines(tmp_path: Path) -> None:
    output = Output(io.StringIO(), colour=False, log_directory=tmp_path)
    lines = [f"line {number}\n" for number in range(1_000)]
    for half in (lines[:500], lines[500:]):
        follow(output, "ingest", "".join(half).encode())
    kept = [tmp_path / "ingest.log.1", tmp_path / "ingest.log"]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert all(0 < path.stat().st_size <= BOUND for path in kept)
    text = "".join(path.read_text() for path in kept)
    assert text == "".join(lines)[-len(text) :]


def test_the_end_of_a_process_that_began_its_file_anew_just_before_is_shown_whole(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = Output(stream, colour=False, log_directory=tmp_path)
    follow(output, "ingest", b"".join(b"%-98d\n" % number for number in range(11)))
    output.show_end("ingest")
    assert (tmp_path / "ingest.log").read_text().split() == ["10"]
    shown = [line.split()[-1] for line in stream.getvalue().splitlines()]
    assert shown == [str(number) for number in range(11)][-LAST_LINES_MAX:]


def test_of_a_long_file_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "TAIL_BYTES", 9)
    (tmp_path / "ingest.log").write_text("the first\nsecond\nlast\n")
    assert last_lines(tmp_path / "ingest.log", 3) == ["ond", "last"]


def test_a_file_that_somebody_removed_is_begun_anew(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "ingest.log")
    log.write(b"x" * BOUND)
    (tmp_path / "ingest.log").unlink()
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "ingest.log").read_bytes() == b"kept\n"


def test_a_line_beyond_the_bound_is_kept_alone(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "ingest.log")
    for line in (b"x" * (BOUND + 1), b"last\n"):
        log.write(line)
    log.close()
    assert (tmp_path / "ingest.log").read_bytes() == b"last\n"
    assert (tmp_path / "ingest.log.1").stat().st_size == BOUND + 1


def test_what_a_broker_prints_is_bounded_too_and_a_failed_start_is_explained_by_its_end(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, 1, 2)
    prints = "for number in range(2_000): print('line', number)\nraise SystemExit('OutOfMemoryError')"
    kafka._command = [sys.executable, "-c", prints]
    kafka.launch()
    try:
        with pytest.raises(LocalStackError, match="it ran out of memory"):
            kafka.await_ready()
    finally:
        kafka.stop()
    kept = [tmp_path / "kafka.log", tmp_path / "kafka.log.1"]
    assert sorted(tmp_path.iterdir()) == kept
    assert all(0 < path.stat().st_size <= BOUND for path in kept)
