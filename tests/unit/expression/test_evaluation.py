"""`tidegate eval`, line by line and as a command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from segmentation.registry import REFERENCE_DEPTH_MAX
from tidegate.cli.eval import CHUNK_BYTES, answer_lines, app
from tidegate.evaluation import answer

RUNNER = CliRunner()
ROOT = Path(__file__).parents[3]


def _errors(line: object) -> list[tuple[str, str]]:
    told: Any = answer(line)
    return [(one["code"], one["pointer"]) for one in told["errors"]]


@pytest.mark.parametrize(
    ("line", "errors"),
    [
        (5, [("expects_object", "")]),
        ({}, [("missing_where", "/where")]),
        ({"where": "mrr >"}, [("expects_number", "/where")]),
        ({"where": {"mrr": {"gt": "x"}}}, [("expects_number", "/where/mrr/gt")]),
        ({"where": "t within 7d"}, [("expects_instant", "/now")]),
        ({"where": "t within 7d", "now": "1790000000000"}, [("expects_instant", "/now")]),
        ({"where": "t within 7d", "now": True}, [("expects_instant", "/now")]),
        ({"where": "a", "attributes": {"a": [[1]]}}, [("nested_in_list", "/attributes/a/0")]),
        ({"where": "a", "attributes": []}, [("expects_object", "/attributes")]),
        ({"where": "a", "segments": []}, [("expects_object", "/segments")]),
        ({"where": "a", "segments": {"A b": "x"}}, [("expects_segment", "/segments/A b")]),
        ({"where": "a", "segments": {"x": "mrr >"}}, [("expects_number", "/segments/x")]),
        ({"where": "a", "segments": {"x": "in segment y", "y": "in segment x"}}, [("reference_cycle", "/segments")]),
        (
            {"where": "a >", "attributes": {"b": [None]}, "now": "soon"},
            [("expects_number", "/where"), ("nested_in_list", "/attributes/b/0"), ("expects_instant", "/now")],
        ),
    ],
)
def test_what_is_wrong_is_answered_with_all_its_errors(line: object, errors: list[tuple[str, str]]) -> None:
    assert _errors(line) == errors


@pytest.mark.parametrize("order", [list, reversed], ids=["from above", "from below"])
def test_references_nest_to_eight_from_where_and_no_further(order: Callable[[list[int]], Iterable[int]]) -> None:
    def chain(references: int) -> dict[str, object]:
        refers = {number: f"in segment s{number + 1}" for number in range(1, references)} | {references: "a"}
        segments = {f"s{number}": refers[number] for number in order([*refers])}
        return {"where": "in segment s1", "segments": segments, "attributes": {"a": True}}

    assert answer(chain(REFERENCE_DEPTH_MAX)) == {"member": True}
    assert _errors(chain(REFERENCE_DEPTH_MAX + 1)) == [("references_too_deep", "/segments")]
    assert _errors(chain(2_000)) == [("references_too_deep", "/segments")]


def test_given_segments_nest_no_further_though_where_refers_to_none_of_them() -> None:
    refers = {f"s{number}": f"in segment s{number + 1}" for number in reversed(range(10))}
    assert _errors({"where": "a", "segments": refers}) == [("references_too_deep", "/segments")]


def test_null_and_nested_attributes_are_as_ingest_takes_them() -> None:
    attributes = {"a": None, "b": {"c": {"d": "x"}, "e": None}}
    assert answer({"where": "a is missing and b.c.d is x and b.e is missing", "attributes": attributes}) == {
        "member": True
    }


def test_now_is_milliseconds_or_rfc_3339() -> None:
    asked = {"where": "t in the past", "attributes": {"t": "1970-01-01T00:00:01Z"}}
    assert answer(asked | {"now": 1_000}) == {"member": True}
    assert answer(asked | {"now": 999}) == {"member": False}
    assert answer(asked | {"now": "1970-01-01T00:00:01Z"}) == {"member": True}


def test_json_nested_beyond_all_limits_is_refused_with_a_pointer() -> None:
    where: object = {"a": 1}
    for _ in range(600):
        where = {"not": where}
    assert [code for code, _ in _errors({"where": where})] == ["nested_too_deep"]


def test_an_explanation_agrees_with_the_answer() -> None:
    line = {
        "where": "in segment a and b",
        "segments": {"a": "t within 1d"},
        "attributes": {"t": 0, "b": True},
        "now": 5,
    }
    told: Any = answer(line, explained=True)
    assert told["member"] is told["explain"]["holds"] is True
    assert told["explain"]["until_ms"] == 86_400_000


def test_lines_are_answered_in_order_and_only_unreadable_ones_fail() -> None:
    asked = b'{"where": "a", "attributes": {"a": true}}\n\n{bad\n{"where": "a >"}\n\xff\n{"where": "a"}\n'
    told = io.BytesIO()
    assert answer_lines(io.BytesIO(asked), told, explained=False) == [3, 5]
    answers = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [one.get("member") for one in answers] == [True, None, None, None, False]
    assert [one["errors"][0]["code"] for one in answers if "errors" in one] == [
        "not_json",
        "expects_number",
        "not_json",
    ]


def test_a_key_that_stands_twice_is_refused_as_the_services_refuse_it() -> None:
    lines = (
        b'{"where": {"plan": "a", "plan": "b"}}\n{"where": "a", "attributes": {"a": true, "a": 1}}\n{"where": "a"}\n'
    )
    told = io.BytesIO()
    assert answer_lines(io.BytesIO(lines), told, explained=False) == []
    answers = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [one.get("errors", [{}])[0].get("code") for one in answers] == ["duplicate_key", "duplicate_key", None]
    assert "'plan'" in answers[0]["errors"][0]["message"]


def test_objects_beyond_all_depth_are_refused_and_not_followed() -> None:
    lines = b"".join(b'{"where": ' + b'{"not": ' * depth + b'"a"' + b"}" * depth + b"}\n" for depth in (50, 500, 900))
    told = io.BytesIO()
    assert answer_lines(io.BytesIO(lines), told, explained=False) == []
    codes = [json.loads(line)["errors"][0]["code"] for line in told.getvalue().splitlines()]
    assert codes == ["nested_too_deep", "too_deep", "too_deep"]


def test_a_caller_who_waits_for_each_answer_gets_it() -> None:
    command = [sys.executable, "-m", "tidegate.cli.main", "eval"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "clients")))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for truth in (True, False):
            process.stdin.write(json.dumps({"where": "a", "attributes": {"a": truth}}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"member": truth}
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_lines_longer_than_a_chunk_are_answered_whole() -> None:
    line = json.dumps({"where": f'a is "{"x" * 1000}"', "attributes": {"a": "x" * 1000, "b": "y" * CHUNK_BYTES * 2}})
    told = io.BytesIO()
    assert answer_lines(io.BytesIO(f"{line}\n{line}\n{line}".encode()), told, explained=False) == []
    assert told.getvalue() == b'{"member":true}\n' * 3


def test_the_command_exits_with_0_unless_a_line_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"where": "a >"}\n')
    assert RUNNER.invoke(app, [str(path)]).exit_code == 0
    result = RUNNER.invoke(app, ["--explain"], input='{"where": "a"}\nno\n')
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[0])["explain"]["holds"] is False
    assert RUNNER.invoke(app, [str(tmp_path / "absent")]).exit_code == 2
