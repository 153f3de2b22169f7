"""The command line against a scripted service: stable lines for scripts, stable exit codes, errors that help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest

from tests.unit.sdk.scripted import Service, run
from tidegate.cli import connection, main
from tidegate.cli.instants import date_time

SEGMENT = {"id": "pros", "version": 2, "state": "active", "text": 'plan is "pro"', "members": 12_345, "name": "Pros"}
CHANGE = {"segment_id": "pros", "contact_id": "u1", "change": "enter", "at_ms": 1_790_000_000_123, "cause": "time"}


def test_a_list_off_a_terminal_is_one_tab_separated_line_a_segment(service: Service) -> None:
    service.on("GET", "/segments", body={"segments": [SEGMENT]})
    result = run("segments", "list")
    assert (result.exit_code, result.stdout) == (0, 'pros\t12,345\tactive\tplan is "pro"\n')


def test_since_when_is_told_in_one_form_wherever_it_is_told(service: Service) -> None:
    since = "2026-05-01T12:00:00.000Z"
    service.on("GET", "/segments/pros", body=SEGMENT)
    service.on("GET", "/segments/pros/members", body={"members": [{"contact_id": "u1", "since": since}], "next": None})
    membership = {"segment_id": "pros", "since": since}
    service.on("GET", "/contacts/u1", body={"id": "u1", "attributes": {}, "memberships": [membership]})
    shown, got = (
        run(*command).stdout.splitlines()[-1] for command in (("segments", "show", "pros"), ("contacts", "get", "u1"))
    )
    assert shown.partition("\t")[2] == got.partition("\t")[2] == date_time(1_777_636_800_000)


def test_json_output_is_what_the_api_answered(service: Service) -> None:
    service.on("GET", "/segments", body={"segments": [SEGMENT]})
    (listed,) = orjson.loads(run("segments", "list", "--json").stdout)
    assert listed.items() >= SEGMENT.items()


def test_a_segment_in_text_and_one_in_json_are_sent_in_their_own_form(service: Service) -> None:
    service.on("POST", "/segments", 201, SEGMENT)
    assert run("segments", "create", "pros", "plan is Pro", "--name", "Pros").exit_code == 0
    assert run("segments", "create", "pros", '[{"plan": "pro"}]').exit_code == 0
    sent = [orjson.loads(request.content) for request in service.asked]
    assert sent[0] == {"id": "pros", "where": "plan is Pro", "mode": "realtime", "name": "Pros"}
    assert sent[1]["where"] == [{"plan": "pro"}]


def test_a_wrong_expression_is_underlined_where_it_is_wrong(service: Service) -> None:
    error = {"code": "expects_number", "message": "`>` compares numbers", "hint": "write 99",
             "span": {"offset": 6, "line": 1, "column": 7, "length": 6}}  # fmt: skip
    service.on("POST", "/segments", 422, {"title": "the segment cannot be saved", "errors": [error]})
    result = run("segments", "create", "x", 'mrr > "lots"')
    assert result.exit_code == connection.EXIT_REFUSED
    assert result.stderr.splitlines() == [
        "error: the segment cannot be saved",
        '  mrr > "lots"',
        "        ^^^^^^",
        "  `>` compares numbers",
        "  hint: write 99",
    ]


def test_what_is_probably_not_meant_is_said_beside_what_was_saved(service: Service) -> None:
    advice = [
        {
            "code": "unknown_attribute",
            "message": "no contact has an attribute `Plan` yet",
            "hint": "did you mean `plan`?",
        }
    ]
    service.on("POST", "/segments", 201, {**SEGMENT, "advice": advice})
    result = run("segments", "create", "pros", "Plan is Pro")
    assert (result.exit_code, result.stdout) == (0, 'pros version 2: plan is "pro"\n')
    assert result.stderr == "note: no contact has an attribute `Plan` yet\n  hint: did you mean `plan`?\n"


def test_json_that_is_not_json_is_a_wrong_command_line(service: Service) -> None:
    assert run("segments", "create", "x", "[{").exit_code == 2
    assert service.asked == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('{"plan": "pro", "plan": "free"}', "appears twice"),
        ('[{"plan": "\\ud800"}]', "not valid JSON"),
        ('[{"mrr": {"gt": NaN}}]', "not valid JSON"),
        (f'[{{"mrr": {"1" * 5_000}}}]', "number is infinity"),
        ("[" * 5_000, "nested deeper"),
    ],
)
def test_json_that_the_service_would_refuse_is_not_sent_as_something_else(
    service: Service, expression: str, reason: str
) -> None:
    for command in (["create", "x"], ["edit", "x"], ["preview"]):
        service.on("GET", "/segments/x", body=SEGMENT)
        result = run("segments", *command, expression)
        assert (result.exit_code, result.stderr.count("\n"), reason in result.stderr) == (2, 1, True), result.stderr
    assert not any(request.content for request in service.asked)


def test_an_edit_names_the_version_it_replaces(service: Service) -> None:
    service.on("GET", "/segments/pros", body=SEGMENT, ETag='"2"')
    service.on("PUT", "/segments/pros", body={**SEGMENT, "version": 3})
    assert run("segments", "edit", "pros", "plan is Free").exit_code == 0
    assert service.asked[-1].headers["If-Match"] == '"2"'
    assert orjson.loads(service.asked[-1].content)["name"] == "Pros"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, connection.EXIT_NOT_FOUND),
        (401, connection.EXIT_NOT_ALLOWED),
        (403, connection.EXIT_NOT_ALLOWED),
        (409, connection.EXIT_CONFLICT),
        (500, connection.EXIT_UNREACHABLE),
        (422, connection.EXIT_REFUSED),
    ],
)
def test_each_kind_of_failure_has_its_own_exit_code(service: Service, status: int, code: int) -> None:
    service.on("GET", "/contacts/u1", status, {"title": "no"})
    assert run("contacts", "get", "u1").exit_code == code


def test_nothing_listening_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_URL", "http://127.0.0.1:9")
    result = run("segments", "list")
    assert result.exit_code == connection.EXIT_UNREACHABLE
    assert result.stderr.count("\n") == 1
    assert "tidegate up" in result.stderr


def test_values_are_json_where_they_are_json_and_text_otherwise(service: Service) -> None:
    service.on("PATCH", "/contacts/u1", 202, {"id": "u1", "status": 202})
    assert run("contacts", "set", "u1", "plan=pro", "mrr=120", "phone=null", "vip=true", "zip=02134").exit_code == 0
    assert orjson.loads(service.asked[0].content)["attributes"] == {
        "plan": "pro", "mrr": 120, "phone": None, "vip": True, "zip": "02134",
    }  # fmt: skip


def test_a_number_that_would_be_rounded_stays_the_text_that_was_typed(service: Service) -> None:
    service.on("PATCH", "/contacts/u1", 202, {"id": "u1", "status": 202})
    typed = {"order": "12345678901234567890123", "id": "9007199254740993", "part": "0.12345678901234567890"}
    kept = {"mrr": 1.10, "huge": 1e23, "exact": 9007199254740992, "zip": "12345"}
    written = (*(f"{name}={text}" for name, text in typed.items()), "mrr=1.10", "huge=1e23", "exact=9007199254740992")
    assert run("contacts", "set", "u1", *written, 'zip="12345"').exit_code == 0
    assert orjson.loads(service.asked[0].content)["attributes"] == {**typed, **kept}
    assert (
        run("contacts", "set", "u1", 'orders=[12345678901234567890123, 7, "a"]', 'o={"id": 9007199254740993}').exit_code
        == 0
    )
    nested = {"orders": ["12345678901234567890123", 7, "a"], "o": {"id": "9007199254740993"}}
    assert orjson.loads(service.asked[1].content)["attributes"] == nested


def test_a_value_that_the_api_would_not_take_is_a_wrong_command_line(service: Service) -> None:
    for value in ('{"a": 1, "a": 2}', "[" * 100 + "]" * 100):
        result = run("contacts", "set", "u1", f"o={value}")
        assert (result.exit_code, "the value of 'o' cannot be used" in result.stderr, service.asked) == (2, True, [])


def test_an_assignment_without_a_value_is_a_wrong_command_line(service: Service) -> None:
    assert run("contacts", "set", "u1", "plan").exit_code == 2
    assert run("contacts", "set", "u1", "plan=pro", "plan=free").exit_code == 2
    assert service.asked == []


def test_hostile_attribute_values_cannot_move_the_cursor_or_style_the_output(service: Service) -> None:
    hostile = "\x1b[2J[bold]x[/bold]\nforged line"
    service.on("GET", "/contacts/u1", body={"id": "u1", "attributes": {"name": hostile}})
    result = run("contacts", "get", "u1")
    assert "\x1b" not in result.stdout
    assert result.stdout.count("\n") == 1
    assert "[bold]x[/bold]" in result.stdout


def test_tail_off_a_terminal_prints_one_tab_separated_line_a_change_and_stops_after_the_count(service: Service) -> None:
    stream = b"id: 5\nevent: change\ndata: " + orjson.dumps(CHANGE) + b"\n\n"
    events = {"Content-Type": "text/event-stream"}
    service.routes["GET", "/api/v2/events"] = httpx.Response(200, content=stream, headers=events)
    service.on("GET", "/segments/pros", body=SEGMENT)
    result = run("tail", "pros", "--count", "1")
    assert result.exit_code == 0
    assert result.stdout.removesuffix("\n").split("\t")[1:] == ["enter", "pros", "u1", "time"]
    assert service.asked[-1].url.params["segment"] == "pros"


def test_tail_of_a_segment_that_there_is_not_ends_instead_of_waiting(service: Service) -> None:
    service.on("GET", "/segments/nosuch", status=404, body={"title": "no segment 'nosuch'"})
    result = run("tail", "nosuch")
    assert (result.exit_code, "no segment 'nosuch'" in result.stderr) == (connection.EXIT_NOT_FOUND, True)
    assert [request.url.path for request in service.asked] == ["/api/v2/segments/nosuch"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("segments", "`tidegate segments list`"),
        ("dead-letters", "`tidegate dead-letters list`"),
        ("imports", "the dashboard"),
    ],
)
def test_a_hint_of_the_api_names_the_command_that_does_it(service: Service, what: str, told: str) -> None:
    detail = f"`GET /api/v2/{what}` lists what there is"
    service.on("GET", "/segments/nosuch", status=404, body={"title": "no such thing", "detail": detail})
    result = run("segments", "show", "nosuch")
    assert (result.exit_code, result.stderr) == (3, f"error: no such thing: {told} lists what there is\n")


def test_a_file_whose_name_is_no_text_is_imported(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "\udcff.csv"
    file.write_text("id\nu1\n")
    service.on("POST", "/imports", status=422, body={"title": "no such column"})
    assert run("import", str(file), "--id", "id", "--yes").exit_code == 1
    assert service.asked[0].url.params["filename"] == "?.csv"


def test_tail_of_what_is_no_tidegate_ends_instead_of_asking_for_ever(service: Service) -> None:
    service.routes["GET", "/api/v2/events"] = httpx.Response(200, html="<p>hello</p>")
    result = run("tail")
    assert (result.exit_code, "is it a Tidegate service?" in result.stderr) == (1, True)


def test_explain_shows_marks_values_and_what_would_flip_each_failing_test(service: Service) -> None:
    tree = {"kind": "all", "holds": False, "children": [
        {"kind": "condition", "condition": 'plan is "pro"', "holds": True, "attribute": "plan", "value": "Pro",
         "state": "read", "reading": "text", "until_ms": None, "flips": []},
        {"kind": "condition", "condition": "mrr > 99", "holds": False, "attribute": "mrr", "value": None,
         "state": "missing", "reading": "number", "until_ms": None, "flips": [{"says": "set mrr to 100"}]},
    ]}  # fmt: skip
    explained = {"contact_id": "u1", "segment_id": "pros", "holds": False, "until_ms": None, "tree": tree}
    service.on("GET", "/contacts/u1/explain", body=explained)
    assert run("explain", "u1", "pros").stdout.splitlines() == [
        "✗ u1 is not in pros",
        "  until something is written: time changes nothing",
        "  ✗ all of",
        '    ✓ plan is "pro"   plan = "Pro"',
        "    ✗ mrr > 99   mrr is missing",
        "      → set mrr to 100",
    ]


def test_a_paused_segments_membership_is_not_said_to_end_with_its_condition(service: Service) -> None:
    explained = {"state": "paused", "member": True, "holds": True, "since_ms": None, "until_ms": 1_790_000_000_000}
    service.on("GET", "/contacts/u1/explain", body=explained)
    assert run("explain", "u1", "pros").stdout.splitlines()[1:] == ["  until the segment is resumed: it is paused"]


def test_an_import_streams_the_file_and_reports_rejected_rows(service: Service, tmp_path: Path) -> None:
    ended = {"id": "imp_1", "state": "completed", "rows_total": 2, "rows_read": 2, "accepted": 1, "rejected": 1}
    service.on("POST", "/imports", 202, {**ended, "state": "running"})
    service.on("GET", "/imports/imp_1", body=ended)
    service.routes["GET", "/api/v2/imports/imp_1/errors.csv"] = httpx.Response(200, text="row,fix\n2,write a number\n")
    file = tmp_path / "people.csv"
    file.write_text("email,mrr\na@x,1\nb@x,lots\n")
    result = run("import", str(file), "--id", "email", "--type", "mrr=number")
    assert result.exit_code == connection.EXIT_REFUSED
    assert result.stdout == "completed: 1 accepted, 1 rejected of 2 rows\n"
    assert (tmp_path / "people.errors.csv").read_text() == "row,fix\n2,write a number\n"
    assert service.asked[0].content == file.read_bytes()
    assert dict(service.asked[0].url.params) == {
        "commit": "true", "id_column": "email", "filename": "people.csv", "blank": "keep", "type": "mrr=number",
    }  # fmt: skip


def test_doctor_says_what_is_wrong_and_ends_with_an_error(service: Service) -> None:
    part = {"partition": 0, "state": "recovering", "lag_records": 0, "lag_ms": 0}
    service.on("GET", "/status", body={"partitions_expected": 1, "partitions": [part], "dead_letters": 0})
    service.on("GET", "/segments", body={"segments": []})
    result = run("doctor")
    assert result.exit_code == connection.EXIT_UNREACHABLE
    assert "wrong partitions: 0 of 1 partitions are served" in result.stdout


def test_doctor_is_not_content_with_what_an_owner_said_before_it_fell_silent(service: Service) -> None:
    part = {"partition": 0, "state": "ready", "answers": False, "lag_records": 0, "lag_ms": 0}
    service.on("GET", "/status", body={"partitions_expected": 1, "partitions": [part], "dead_letters": 0})
    service.on("GET", "/segments", body={"segments": []})
    result = run("doctor")
    assert (result.exit_code, service.asked[0].url.params["probe"]) == (connection.EXIT_UNREACHABLE, "true")
    assert "wrong partitions: 0 of 1 partitions are served - 1 have an owner that does not answer" in result.stdout
    assert "lag" not in result.stdout, "it is not known"


def test_doctor_away_from_a_local_stack_looks_at_what_it_is_given(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_DATA_DIR", str(tmp_path / "none"))
    service.on("GET", "/status", status=503, body={"title": "not now"}, **{"Retry-After": "60"})
    result = run("doctor", "--ready", "http://127.0.0.1:1/ready")
    assert (result.exit_code, "nothing answers at http://127.0.0.1:1/ready" in result.stdout) == (6, True)
    assert "disk" not in result.stdout


@pytest.mark.parametrize(
    ("broker", "variables"),
    [
        ("a:b", {}),
        ("127.0.0.1:1", {"TIDEGATE_KAFKA_SECURITY_PROTOCOL": "TLS"}),
        ("127.0.0.1:1", {"TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SSL", "TIDEGATE_KAFKA_SSL_CA_FILE": "/none"}),
        ("127.0.0.1:1", {"TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "TIDEGATE_KAFKA_SASL_MECHANISM": "X"}),
    ],
)
def test_doctor_says_which_settings_of_the_broker_cannot_be_used(
    service: Service, monkeypatch: pytest.MonkeyPatch, broker: str, variables: dict[str, str]
) -> None:
    for name, value in {"TIDEGATE_KAFKA_SASL_USERNAME": "u", "TIDEGATE_KAFKA_SASL_PASSWORD": "p", **variables}.items():
        monkeypatch.setenv(name, value)
    service.on("GET", "/status", status=503, body={"title": "not now"}, **{"Retry-After": "60"})
    result = run("doctor", "--kafka", broker)
    assert (result.exit_code, f"kafka: a connection to {broker} cannot be set up: " in result.stdout) == (6, True)


def test_the_local_stacks_key_is_used_when_no_other_is_given(service: Service, tmp_path: Path) -> None:
    (tmp_path / "local-key").write_text("tg_local\n")
    service.on("GET", "/segments", body={"segments": []})
    run("segments", "list")
    run("segments", "list", "--key", "tg_mine")
    assert [request.headers["Authorization"] for request in service.asked] == ["Bearer tg_local", "Bearer tg_mine"]


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    assert all(name in shown for name in main.SUBCOMMANDS)


def test_a_command_whose_dependencies_are_absent_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        raise ModuleNotFoundError("No module named 'psutil'", name="psutil")

    monkeypatch.setattr(main, "import_module", absent)
    result = run("up")
    assert result.exit_code == 2
    assert "pip install 'tidegate[server]'" in result.stderr


AUDIT = {
    "id": "000000000001000-a-000000000002",
    "at": "2026-05-01T12:00:00.000Z",
    "action": "segment.edited",
    "subject": "pros",
    "by": {"key_id": "k1", "key_name": "crm"},
    "request_id": "req_1",
    "from": {"version": 1, "state": "active", "text": "a is 1"},
    "to": {"version": 2, "state": "active", "text": "a is 2"},
}


def test_the_audit_shows_who_and_only_what_differs(service: Service) -> None:
    service.on("GET", "/audit", body={"entries": [AUDIT], "next": None})
    result = run("audit", "--kind", "segment", "--limit", "7")
    at, by, action, subject, before, after = result.stdout.rstrip("\n").split("\t")
    assert (at, by, action, subject) == (date_time(1_777_636_800_000), "crm (k1)", "segment.edited", "pros")
    assert (orjson.loads(before), orjson.loads(after)) == (
        {"version": 1, "text": "a is 1"},
        {"version": 2, "text": "a is 2"},
    )
    assert dict(service.asked[0].url.params) == {"kind": "segment", "limit": "7"}


def test_the_audit_of_keys_asks_for_keys_and_json_is_what_the_api_answered(service: Service) -> None:
    entry = {**AUDIT, "action": "key.created", "from": None, "to": {"name": "crm"}}
    service.on("GET", "/audit", body={"entries": [entry], "next": None})
    assert orjson.loads(run("keys", "audit", "--json").stdout) == [entry]
    assert service.asked[0].url.params["kind"] == "key"
    assert run("keys", "audit").stdout.split("\t")[4] == "-"


def test_a_key_is_made_for_a_while_and_listed_with_its_end(service: Service) -> None:
    made = {"id": "k1", "name": "crm", "scopes": ["admin"], "expires_at": "2030-01-31T12:00:00.000Z"}
    service.on("POST", "/keys", body={**made, "key": "tg_k1_x"})
    assert (
        run("keys", "create", "crm", "--scope", "admin", "--expires", "2030-01-31T12:00Z").stdout.strip() == "tg_k1_x"
    )
    assert orjson.loads(service.asked[0].content)["expires_at"] == "2030-01-31T12:00:00+00:00"
    service.on("GET", "/keys", body={"keys": [made, {**made, "id": "k2", "expires_at": None}]})
    lines = run("keys", "list").stdout.splitlines()
    assert "2030-01-31" in lines[-2]
    assert lines[-1].endswith("never")


def test_what_the_terminals_encoding_lacks_is_shown_as_a_question_mark_and_ends_nothing() -> None:
    script = "from tidegate.cli import main, output; main.app = lambda **_: output.say('✓ shown'); main.run()"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert shown.stdout == b"? shown\n"
