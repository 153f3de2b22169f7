"""Metric names keep their shape, labels stay bounded, and log lines are one JSON object each."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.runtime import clock, logs
from services.runtime.logs import Seldom, configure_logs, get_logger
from services.runtime.metrics import MetricNameError, counter, exposition, histogram


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("name", ["records_total", "tidegate_", "tidegate_Records", "tidegate__records"])
def test_a_name_of_another_shape_is_refused(name: str) -> None:
    with pytest.raises(MetricNameError, match="should look like"):
        counter(name, "about", registry=CollectorRegistry())


@pytest.mark.parametrize("label", ["contact_id", "value", "url"])
def test_an_unbounded_label_is_refused(label: str) -> None:
    with pytest.raises(MetricNameError, match="unbounded label"):
        counter("tidegate_records_total", "about", [label], registry=CollectorRegistry())


def test_metrics_are_exposed_with_their_labels_and_buckets() -> None:
    registry = CollectorRegistry()
    counter("tidegate_records_total", "Records.", ["partition"], registry=registry).labels("3").inc(2)
    histogram("tidegate_commit_seconds", "Commits.", buckets=(0.008, 1), registry=registry).observe(0.008)
    text = exposition(registry)[0].decode()
    assert 'tidegate_records_total{partition="3"} 2.0' in text
    assert 'tidegate_commit_seconds_bucket{le="0.008"} 1.0' in text


def test_our_lines_and_the_libraries_are_json_of_one_shape(restored_logging: None) -> None:
    stream = io.StringIO()
    configure_logs("ingest", "json", stream=stream)
    get_logger("admission").info("records accepted", count=3)
    logging.getLogger("aiokafka").warning("coordinator %s is away", 1)
    logging.getLogger("aiokafka").info("chatter")
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["count"], ours["service"], ours["level"]) == ("records accepted", 3, "ingest", "info")
    assert (theirs["event"], theirs["service"], theirs["level"]) == ("coordinator 1 is away", "ingest", "warning")


def test_a_failure_is_logged_with_its_traceback_on_one_line(restored_logging: None) -> None:
    stream = io.StringIO()
    configure_logs("ingest", "json", stream=stream)
    try:
        raise ValueError("broken")
    except ValueError as error:
        get_logger("admission").error("failed", exc_info=error)
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_a_traceback_for_people_shows_no_values_of_variables(restored_logging: None) -> None:
    stream = io.StringIO()
    configure_logs("ingest", "console", stream=stream)

    def fails(secret: str) -> None:
        raise ValueError(f"{len(secret)} characters")

    try:
        fails("canary" + "-value")
    except ValueError as error:
        get_logger("admission").error("failed", exc_info=error)
    assert "ValueError: 12 characters" in stream.getvalue()
    assert "canary-value" not in stream.getvalue()


def test_a_library_that_repeats_itself_is_heard_once_in_a_while_with_how_often(
    restored_logging: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    stream = io.StringIO()
    configure_logs("evaluator", "json", stream=stream)
    client = logging.getLogger("aiokafka")
    for _ in range(100):
        client.error("Unable connect to node with id %s", 1)
    client.error("Unable connect to node with id %s", 2)
    logging.getLogger("aiokafka.consumer").error("Unable connect to node with id %s", 1)
    now[0] += logs.REPEATED_SELDOM_S
    for _ in range(2):
        client.error("Unable connect to node with id %s", 1)
        get_logger("worker").error("ours, whoever repeats it")
    told = [(line["event"][-7:], line.get("left_out")) for line in map(json.loads, stream.getvalue().splitlines())]
    ours = ("eats it", None)
    assert told == [("th id 1", None), ("th id 2", None), ("th id 1", None), ("th id 1", 99), ours, ours]


def test_a_librarys_line_that_cannot_be_made_harms_nobody_and_is_told(
    restored_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("evaluator", "json", stream=io.StringIO())
    line = {"msg": "node %d of %d", "args": (1,), "levelno": logging.ERROR}
    logging.getLogger("aiokafka").handle(logging.makeLogRecord(line))
    assert "not enough arguments" in capsys.readouterr().err


def test_no_more_texts_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "TEXTS_KNOWN_MAX", 2)
    repeated = logs.Repeated()
    heard = [repeated.filter(logging.makeLogRecord({"msg": text})) for text in ("a", "b", "b", "c", "a", "a", "c")]
    assert heard == [True, True, False, True, True, False, False]


def test_what_every_request_runs_into_is_told_once_in_a_while_with_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    seldom = Seldom(get_logger("test"), interval_s=1.0)
    with capture_logs() as lines:
        for number in range(5):
            seldom.warning("append failed", records=number)
        seldom.warning("an answer could not be kept")
        now[0] += 1.0
        seldom.warning("append failed", records=5)
        now[0] += 0.9
        seldom.warning("append failed", records=6)
    told = [(line["event"], line.get("records"), line["left_out"]) for line in lines]
    assert told == [("append failed", 0, 0), ("an answer could not be kept", None, 0), ("append failed", 5, 4)]
