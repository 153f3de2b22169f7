"""A backtest over small histories: what enters and leaves, when, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from tidegate.cli import main

HEADER = "at,contact_id,plan,seen_at\n"
LATELY = "lately: seen_at within 7 days"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    file = tmp_path / "history.csv"
    file.write_text(
        HEADER
        + "2026-01-01T00:00:00Z,u,pro,2026-01-01\n"
        + "2026-01-02T06:00:00Z,v,free,2026-01-02\n"
        + "2026-01-08T00:00:00Z,u,,2026-01-08\n"
        + "2026-01-20T00:00:00Z,v,pro,\n"
    )
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, ["backtest", *map(str, arguments)])


def changes(history: Path, *arguments: object) -> list[str]:
    out = history.with_name("changes.csv")
    result = run(history, *arguments, "--changes", out)
    assert result.exit_code == 0, result.output
    return out.read_text().splitlines()[1:]


def test_writes_count_at_their_instants_and_deadlines_at_theirs_even_before_a_write_of_the_same_instant(
    history: Path,
) -> None:
    assert changes(history, "--segment", LATELY) == [
        "2026-01-01T00:00:00Z,lately,u,enter,write,1",
        "2026-01-02T06:00:00Z,lately,v,enter,write,2",
        "2026-01-08T00:00:00Z,lately,u,exit,time,",
        "2026-01-08T00:00:00Z,lately,u,enter,write,3",
        "2026-01-09T00:00:00Z,lately,v,exit,time,",
        "2026-01-15T00:00:00Z,lately,u,exit,time,",
    ]


def test_time_runs_on_to_the_instant_asked_for_and_stops_there(history: Path) -> None:
    lapsed = "lapsed: seen_at more than 30 days ago"
    assert changes(history, "--segment", lapsed) == []
    assert changes(history, "--segment", lapsed, "--until", "2026-02-06") == [
        "2026-02-01T00:00:00Z,lapsed,v,enter,time,"
    ]
    assert changes(history, "--segment", LATELY, "--until", "2026-01-02") == [
        "2026-01-01T00:00:00Z,lately,u,enter,write,1"
    ]


def test_an_empty_cell_keeps_the_value_unless_it_is_to_remove_it(history: Path) -> None:
    pro = "pro: plan is pro"
    assert [line.split(",")[2:4] for line in changes(history, "--segment", pro)] == [["u", "enter"], ["v", "enter"]]
    kinds = [line.split(",")[2:4] for line in changes(history, "--segment", pro, "--blank", "remove")]
    assert kinds == [["u", "enter"], ["u", "exit"], ["v", "enter"]]


def test_a_segment_may_refer_to_one_named_before_it(history: Path) -> None:
    arguments = ("--segment", LATELY, "--segment", "lately-pro: plan is pro AND in segment lately")
    found = [line for line in changes(history, *arguments) if ",lately-pro," in line]
    assert [line.split(",")[0][:10] for line in found] == ["2026-01-01", "2026-01-08", "2026-01-08", "2026-01-15"]


def test_members_over_time_say_who_came_and_went_in_every_step(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "members.csv"
    result = run(history, "--segment", LATELY, "--every", "1w", "--members", out)
    assert result.exit_code == 0, result.output
    assert out.read_text().splitlines() == [
        "at,segment_id,entered,exited,members",
        "2026-01-01T00:00:00Z,lately,2,0,2",
        "2026-01-08T00:00:00Z,lately,1,2,1",
        "2026-01-15T00:00:00Z,lately,0,1,0",
    ]


def test_the_summary_counts_changes_contacts_members_and_the_peak(history: Path) -> None:
    result = run(history, "--segment", LATELY, "--segment", "plan is pro", "--json")
    assert orjson.loads(result.stdout) == {
        "rows": 4,
        "contacts": 2,
        "first": "2026-01-01T00:00:00Z",
        "last": "2026-01-20T00:00:00Z",
        "segments": [
            {
                "id": "lately",
                "enters": 3,
                "exits": 3,
                "contacts": 2,
                "members": 0,
                "peak": 2,
                "peak_at": "2026-01-02T06:00:00Z",
            },
            {
                "id": "segment-2",
                "enters": 2,
                "exits": 0,
                "contacts": 2,
                "members": 2,
                "peak": 2,
                "peak_at": "2026-01-20T00:00:00Z",
            },
        ],
    }


def test_the_picture_is_one_svg_without_scripts_that_names_every_segment(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "picture.svg"
    result = run(history, "--segment", LATELY, "--segment", "pro: plan is pro", "--chart", out)
    assert result.exit_code == 0, result.output
    picture = out.read_text()
    assert picture.count("<svg") == 1
    assert "lately: 0 members, at most 2" in picture
    assert "pro: 2 members, at most 2" in picture
    assert "<script" not in picture


def test_segments_come_from_a_file_as_lines_or_as_json(history: Path, tmp_path: Path) -> None:
    lines, listed = tmp_path / "segments.txt", tmp_path / "segments.json"
    lines.write_text("# which\nlately: seen_at within 7 days\n\npro: plan is pro\n")
    listed.write_bytes(
        orjson.dumps(
            [{"id": "lately", "where": [{"seen_at": {"within": "7d"}}]}, {"id": "pro", "where": "plan is pro"}]
        )
    )
    assert changes(history, "--segment", f"@{lines}") == changes(history, "--segment", f"@{listed}")


def test_rows_out_of_order_are_refused_by_number_or_sorted_when_asked(history: Path) -> None:
    in_order = changes(history, "--segment", LATELY)
    header, *rows = history.read_text().splitlines()
    shuffled = history.with_name("shuffled.csv")
    shuffled.write_text("\n".join([header, rows[1], rows[0], *rows[2:]]) + "\n")
    refused = run(shuffled, "--segment", LATELY)
    assert refused.exit_code == 1
    assert "row 2 of the history is of 2026-01-01T00:00:00Z, before row 1 of 2026-01-02T06:00:00Z" in refused.stderr
    in_time = [line.rsplit(",", 1)[0] for line in changes(shuffled, "--segment", LATELY, "--sort")]
    assert in_time == [line.rsplit(",", 1)[0] for line in in_order]


def test_a_compressed_history_is_read_by_its_content(history: Path) -> None:
    plain = changes(history, "--segment", LATELY)
    history.write_bytes(gzip.compress(history.read_bytes()))
    assert changes(history, "--segment", LATELY) == plain
    history.write_bytes(history.read_bytes()[:40])
    assert "cannot be read" in run(history, "--segment", LATELY).stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the history is empty"),
        ("contact_id,when\n", "no column `at`"),
        ("at,contact_id,plan\n", "the segments read seen_at, but the history has no such column"),
        ("at,contact_id,seen_at,seen_at\n", "several columns seen_at"),
        (HEADER + "soon,u,pro,\n", "row 1 of the history has no instant in `at`, but 'soon'"),
        (HEADER + "2026-01-01,,pro,\n", "row 1 of the history names no contact"),
        (HEADER + "2026-01-01,u,pro\n", "row 1 of the history has 3 cells, but the header names 4 columns"),
        (HEADER + '2026-01-01,u,"pro,\n', "row 1 of the history cannot be read"),
        (HEADER, "the history has no rows"),
    ],
)
def test_a_history_that_cannot_be_used_says_which_row_and_why(history: Path, content: str, said: str) -> None:
    history.write_text(content)
    out = history.with_name("none.csv")
    refused = run(history, "--segment", LATELY, "--changes", out)
    assert (refused.exit_code, said in refused.stderr) == (1, True), refused.output


def test_a_run_that_fails_leaves_no_file(history: Path, tmp_path: Path) -> None:
    history.write_text(history.read_text() + "soon,u,pro,\n")
    out = tmp_path / "changes.csv"
    assert run(history, "--segment", LATELY, "--changes", out).exit_code == 1
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lately: seen_at withn 7 days", "^"),
        ("Lately!: plan is pro", "is not a segment's id"),
        ("[{", "looks like JSON but is not"),
        ("later: in segment unheard", "refers to unheard, which is not defined"),
        ("@absent.txt", "cannot be read"),
    ],
)
def test_a_segment_that_cannot_be_used_is_refused_before_anything_is_read(history: Path, given: str, said: str) -> None:
    refused = run(history, "--segment", given)
    assert (refused.exit_code, said in refused.stderr) == (1, True), refused.output


def test_the_same_id_twice_is_refused(history: Path) -> None:
    refused = run(history, "--segment", LATELY, "--segment", LATELY)
    assert "two segments lately" in refused.stderr
