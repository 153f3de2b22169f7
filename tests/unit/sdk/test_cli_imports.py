"""What an import tells whoever is at the command line: what was tried is what is written, and why nothing was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.progress import Progress

from tests.unit.sdk.scripted import Service, run
from tidegate.cli import connection, import_review, imports
from tidegate.client import Tidegate
from tidegate.responses import Import

ENDED: dict[str, Any] = {
    "id": "imp_1", "state": "completed", "rows_total": 2, "rows_read": 2, "accepted": 2, "rejected": 0,
    "repeat_of": None, "problem": None,
}  # fmt: skip
CHECKED = {**ENDED, "state": "checked", "accepted": 0, "dry_run": {"rows_total": 2, "would_reject": 0}}
REPORT = "naïve,漢\r\n"
SCRIPT = """
from functools import partial
import httpx
from tidegate.cli import connection, main
def answer(request):
    return httpx.Response(200, text=REPORT) if request.url.path.endswith(".csv") else httpx.Response(200, json=ENDED)
connection.Tidegate = partial(connection.Tidegate, transport=httpx.MockTransport(answer))
main.run()
"""


@pytest.fixture
def people(tmp_path: Path) -> Path:
    file = tmp_path / "people.csv"
    file.write_text("id,First Name\nu1,Ann\nu2,Ben\n")
    return file


def test_what_is_tried_out_is_what_would_be_written(service: Service, people: Path) -> None:
    service.on("POST", "/imports", 201, {**ENDED, "state": "uploaded"})
    for step in ("dry-run", "cancel"):
        service.on("POST", f"/imports/imp_1/{step}", body=CHECKED)
    options = ("import", str(people), "--id", "id", "--map", "First Name=called", "--type", "id=text")
    tried = run(*options, "--dry-run")
    assert (tried.exit_code, tried.stdout.splitlines()[-1]) == (0, "nothing was written")
    assert [request.url.path.rpartition("/")[2] for request in service.asked] == ["imports", "dry-run", "cancel"]
    service.on("POST", "/imports", 202, ENDED)
    assert run(*options).exit_code == 0
    upload, written = service.asked[0].url.params, service.asked[-1].url.params
    assert upload.multi_items() == [item for item in written.multi_items() if item != ("commit", "true")]


def test_a_file_that_was_written_before_is_not_said_to_be_written_again(service: Service, people: Path) -> None:
    service.on("POST", "/imports", 202, {**ENDED, "accepted": 0, "rows_read": 0, "repeat_of": "imp_0"})
    result = run("import", str(people), "--id", "id")
    assert (result.exit_code, "nothing was written: imp_0 wrote this file" in result.stdout) == (0, True)
    service.on("POST", "/imports", 202, ENDED)
    assert run("import", str(people), "--id", "id", "--again").stdout == "completed: 2 accepted, 0 rejected of 2 rows\n"
    assert service.asked[-1].url.params["again"] == "true"


def test_an_import_that_failed_says_why_and_what_to_do(service: Service, people: Path) -> None:
    problem = {"message": "the disk is full", "fix": "make room, then go on"}
    service.on("POST", "/imports", 202, {**ENDED, "state": "failed", "problem": problem})
    result = run("import", str(people), "--id", "id")
    assert (result.exit_code, result.stderr) == (1, "error: the disk is full\n  make room, then go on\n")


def test_a_file_without_rows_is_said_to_be_one_and_is_no_failure(service: Service, people: Path) -> None:
    service.on("POST", "/imports", 202, {**ENDED, "rows_total": 0, "rows_read": 0, "accepted": 0})
    for options in ((), ("--json",)):
        result = run("import", str(people), "--id", "id", *options)
        assert result.exit_code == 0
        assert result.stderr == (
            "note: the file has no row below its header, so nothing was written\n"
            "  look at what makes the file; if its first row is a contact, put a header above it\n"
        )


def test_nobody_is_asked_whether_to_write_no_rows() -> None:
    assert not import_review.is_to_be_written(Import.model_validate({**CHECKED, "dry_run": {"rows_total": 0}}))


def rejecting(service: Service, report: str) -> None:
    service.on("POST", "/imports", 202, {**ENDED, "accepted": 1, "rejected": 1})
    service.routes["GET", "/api/v2/imports/imp_1/errors.csv"] = httpx.Response(200, text=report)


def test_a_report_that_cannot_be_written_beside_the_input_is_said_to_be_kept(service: Service) -> None:
    rejecting(service, "id,fix\n")
    read_end, write_end = os.pipe()
    os.write(write_end, b"id\nu1\n")
    os.close(write_end)
    result = run("import", f"/dev/fd/{read_end}", "--id", "id")
    os.close(read_end)
    assert result.exit_code == connection.EXIT_REFUSED
    assert result.stderr.splitlines()[0].startswith("error: 1 row was rejected; /dev/fd/")
    assert "GET /api/v2/imports/imp_1/errors.csv" in result.stderr


def test_a_report_is_utf_8_whatever_the_locale(people: Path) -> None:
    script = SCRIPT.replace("ENDED", repr({**ENDED, "accepted": 1, "rejected": 1})).replace("REPORT", ascii(REPORT))
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script, "import", str(people), "--id", "id"]
    ended = subprocess.run(command, env=ascii_only, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (connection.EXIT_REFUSED, 1), ended.stderr
    assert people.with_suffix(".errors.csv").read_bytes() == REPORT.encode()


def test_whoever_stops_waiting_is_told_that_the_import_goes_on(service: Service, people: Path) -> None:
    service.on("POST", "/imports", 202, {**ENDED, "state": "running"})
    service.on("GET", "/imports/imp_1", body={**ENDED, "state": "running"})
    # Whoever was started in the background is born deaf to it, and so are these tests then.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    interrupt.start()
    try:
        result = run("import", str(people), "--id", "id")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, "the import imp_1 goes on" in result.stderr) == (connection.EXIT_INTERRUPTED, True)


def test_an_import_that_cannot_be_followed_any_more_is_said_to_go_on(service: Service, people: Path) -> None:
    service.on("POST", "/imports", 202, {**ENDED, "state": "running"})
    service.on("GET", "/imports/imp_1", 503, {"title": "not now"}, **{"Retry-After": "60"})
    result = run("import", str(people), "--id", "id")
    assert result.exit_code == connection.EXIT_UNREACHABLE
    assert result.stderr.splitlines()[0].startswith("error: the import imp_1 goes on without this command")


def test_how_far_an_import_is_is_told_by_what_is_known_while_it_runs() -> None:
    running = {
        **ENDED,
        "state": "running",
        "rows_total": None,
        "rows_read": 44_999,
        "rate_rows_per_s": 8_123,
        "eta_s": 83,
    }
    assert imports.going_on(Import.model_validate(running)) == "44,999 rows, 0 rejected, 8,123 a second, 0:01:23 left"
    waiting = {**running, "rate_rows_per_s": None, "eta_s": None, "waiting": "for the broker"}
    assert imports.going_on(Import.model_validate(waiting)) == "44,999 rows, 0 rejected, waiting for the broker"


async def test_the_bar_of_an_import_moves_while_the_number_of_rows_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[Any, Any]] = []

    class Shown(Progress):
        def update(self, *_: Any, total: Any = None, completed: Any = None, **__: Any) -> None:
            moved.append((total, completed))

    def answer(_: httpx.Request) -> httpx.Response:
        read = {"rows_total": None, "bytes_total": 400, "bytes_read": 100 * len(moved)}
        return httpx.Response(200, json={**ENDED, **read, "state": "running" if len(moved) < 3 else "completed"})

    monkeypatch.setattr(imports, "Progress", Shown)
    monkeypatch.setattr(imports, "POLL_S", 0.0)
    async with Tidegate(transport=httpx.MockTransport(answer)) as tidegate:
        await imports.follow_import(tidegate, Import.model_validate({**ENDED, "state": "running"}))
    assert moved == [(400, 0), (400, 100), (400, 200), (400, 300)]


def uploaded(**told: Any) -> Import:
    columns = [
        {"name": "id", "attribute": "id", "type": "text"},
        {"name": "MRR", "attribute": "mrr", "type": "number"},
        {"name": "Notes", "attribute": "notes", "type": "text"},
    ]
    return Import.model_validate({"id": "imp_1", "state": "uploaded", "columns": columns, **told})


def test_an_option_names_an_attribute_whole_and_a_person_may_add_a_type() -> None:
    mapping = import_review.suggested(uploaded(), "id", blank_removes=False)
    import_review.rename(mapping, "MRR=billing:mrr")
    assert mapping["columns"]["MRR"] == {"attribute": "billing:mrr", "type": "number"}
    import_review.change(mapping, "Notes=remarks:list")
    assert mapping["columns"]["Notes"] == {"attribute": "remarks", "type": "list", "unreadable": "reject"}
    import_review.change(mapping, "MRR=")
    assert mapping["columns"]["MRR"]["attribute"] is None


def test_a_remembered_mapping_can_be_given_the_columns_that_it_leaves_out() -> None:
    remembered = {"id_column": "id", "columns": {"MRR": {"attribute": "mrr", "type": "number", "unreadable": "text"}}}
    mapping = import_review.suggested(uploaded(mapping=remembered), None, blank_removes=False)
    assert (mapping["id_column"], mapping["columns"]["Notes"]["attribute"]) == ("id", None)
    import_review.change(mapping, "Notes=notes")
    import_review.retype(mapping, "MRR=number")
    assert mapping["columns"]["MRR"]["unreadable"] == "reject"
    with pytest.raises(import_review.MappingRefusedError, match="the columns are id, MRR, Notes"):
        import_review.change(mapping, "Nope=x")
