"""Files that would hurt a careless importer, through the real HTTP interface: each is refused or imported by name."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Any

import httpx
import pytest

from services.ingest.imports import upload as upload_module
from tests.services.ingest.conftest import Running
from tests.services.ingest.imports.test_import_path import ended, written

pytestmark = pytest.mark.broker

COMMIT = "/api/v2/imports?commit=true&id_column=id"


async def imported(running: Running, body: bytes, query: str = "") -> dict[str, Any]:
    answer = await running.http.post(COMMIT + query, content=body)
    assert answer.status_code == 202, answer.text
    shown = await ended(running, answer.json()["id"])
    assert shown["state"] == "completed", shown
    return shown


async def errors_of(running: Running, shown: dict[str, Any]) -> list[dict[str, str]]:
    report = await running.http.get(f"/api/v2/imports/{shown['id']}/errors.csv")
    assert report.status_code == 200
    assert report.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(report.text, newline="")))


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["detail"]
    assert all(error["hint"] for error in problem["errors"])
    return str(problem["code"])


REFUSED = {
    "an empty file": (b"", 422, "empty_file"),
    "a NUL": (b"id,name\n1,a\0b\n", 422, "nul_byte"),
    "a truncated gzip": (gzip.compress(b"id,name\n" + b"1,x\n" * 1000)[:-5], 422, "gzip_truncated"),
    "a damaged gzip": (gzip.compress(b"id,name\n" + b"1,x\n" * 1000)[:-8] + b"x" * 8, 422, "gzip_damaged"),
    "a gzip bomb": (gzip.compress(b"id,name\n" + b"1,x\n" * 3_000_000), 422, "gzip_ratio"),
    "a workbook": (b"PK\x03\x04" + b"\0" * 100, 415, "not_csv"),
    "1,001 columns": (b"id," + b"x," * 1_000 + b"\n", 422, "too_many_columns"),
    "500,000 columns of one name": (b"id" + b",x" * 500_000 + b"\n1\n", 422, "too_many_columns"),
    "broken UTF-16": (b"\xff\xfei\x00d\x00\x00\xd8,\x00", 422, "invalid_encoding"),
    "a header that is one endless line": (b"id," + b"x" * (2 << 20), 422, "header_too_large"),
    "a header with a cell beyond 64 KiB": (b"id," + b"x" * 65_537 + b"\n", 422, "unreadable_first_row"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_file_that_cannot_be_imported_is_refused_by_name_and_leaves_nothing(
    running: Running, kind: str
) -> None:
    body, status, code = REFUSED[kind]
    answer = await running.http.post(COMMIT, content=body)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert (await running.http.get("/api/v2/imports")).json()["imports"] == []
    assert list((running.settings.data_dir / "imports").glob("imp_*")) == []
    assert await written(running) == {}


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "text/html", "image/png", "x"])
async def test_what_says_that_it_is_no_csv_is_refused(running: Running, kind: str) -> None:
    answer = await running.http.post(COMMIT, content=b"id,name\n1,a\n", headers={"Content-Type": kind})
    assert answer.status_code == 415, answer.text
    assert answer.json()["code"] == "unsupported_media_type"
    assert "text/csv" in answer.json()["detail"]
    assert (await running.http.get("/api/v2/imports")).json()["imports"] == []


@pytest.mark.parametrize("kind", ["", "Text/CSV; header=present", "text/plain", "application/octet-stream"])
async def test_csv_is_taken_under_each_of_its_names(running: Running, kind: str) -> None:
    answer = await running.http.post("/api/v2/imports", content=b"id,name\n1,a\n", headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text


async def test_a_file_beyond_the_limit_is_refused_by_its_length_alone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "UPLOAD_BYTES_MAX", 1_000)
    answer = await running.http.post(COMMIT, content=b"id\n" + b"1\n" * 1_000)
    assert (answer.status_code, code_of(answer)) == (413, "file_too_large")


async def test_quotes_line_breaks_and_delimiters_inside_cells_survive(running: Running) -> None:
    notes = ['say "hi"', "two\r\nlines", "a,b;c\td", "'single'", " padded "]
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["id", "note"], *([f"c{n}", note] for n, note in enumerate(notes))])
    await imported(running, out.getvalue().encode())
    records = await written(running)
    assert [records[f"c{n}"]["attributes"]["note"] for n in range(len(notes))] == notes


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
async def test_every_common_encoding_gives_the_same_contacts(running: Running, encoding: str) -> None:
    await imported(running, "id;stadt\r\n1;Köln “Süd”\r\n2;Málaga\r\n".encode(encoding))
    records = await written(running)
    assert records["1"]["attributes"] == {"stadt": "Köln “Süd”"}
    assert records["2"]["attributes"] == {"stadt": "Málaga"}


async def test_a_bad_byte_costs_its_own_row_and_not_the_encoding_of_all(running: Running) -> None:
    lines = [b"id,name", *(f"c{number},Müller Łódź 東京".encode() for number in range(200)), b"bad,caf\xc3", b""]
    shown = await imported(running, b"\n".join(lines))
    assert (shown["accepted"], shown["rejected"]) == (200, 1)
    assert (shown["format"]["encoding"], shown["format"]["encoding_sure"]) == ("utf-8", False)
    records = await written(running)
    assert "bad" not in records
    assert records["c7"]["attributes"]["name"] == "Müller Łódź 東京"


async def test_a_thousand_columns_and_cells_of_64_kib_are_imported(running: Running) -> None:
    names = ["id", *(f"a{n}" for n in range(999))]
    wide = ",".join(names) + "\n" + ",".join(["c1", *map(str, range(999))]) + "\n"
    assert (await imported(running, wide.encode()))["accepted"] == 1
    assert len((await written(running))["c1"]["attributes"]) == 999
    large = "id,text\nc2," + "x" * 65_536 + "\nc3," + "y" * 65_537 + "\n"
    shown = await imported(running, large.encode())
    assert (shown["accepted"], shown["rejected"]) == (1, 1)
    assert (await errors_of(running, shown))[0]["row"] == "3"


async def test_formula_cells_are_imported_as_text_and_harmless_in_the_report(running: Running) -> None:
    body = b'id,cmd,n\nc1,=1+1,1\nc2,"=HYPERLINK(""http://x"")",many\n,@SUM(A1),2\n'
    shown = await imported(running, body, "&type=n=number")
    assert (await written(running))["c1"]["attributes"] == {"cmd": "=1+1", "n": 1}
    errors = await errors_of(running, shown)
    assert [error["cmd"] for error in errors] == ['\'=HYPERLINK("http://x")', "'@SUM(A1)"]
    assert [(error["row"], error["column"]) for error in errors] == [("3", "n"), ("4", "id")]
    assert all(error["expected"] and error["found"] and error["fix"] for error in errors)


async def test_a_corrected_report_gives_what_the_first_file_said(running: Running) -> None:
    body = b"id,handle,-n,=x\n-7,@ann,many,'=1\n+49,'x,many,-5\n"
    first = await imported(running, body, "&type=-n=number")
    assert (first["accepted"], first["rejected"]) == (0, 2)
    report = (await running.http.get(f"/api/v2/imports/{first['id']}/errors.csv")).text
    corrected = report.replace(",many,", ",3,")
    shown = await imported(running, corrected.encode(), "&type=-n=number")
    assert (shown["accepted"], shown["rejected"]) == (2, 0)
    records = await written(running)
    assert {key: record["attributes"] for key, record in records.items()} == {
        "-7": {"handle": "@ann", "-n": 3, "=x": "'=1"},
        "+49": {"handle": "'x", "-n": 3, "=x": "-5"},
    }


async def test_damaged_rows_are_rejected_one_by_one(running: Running) -> None:
    body = b'id,name\nc1,ok\nc2,"a"b\nc3\nc4,ok,extra\nc5,"open\nc6,ok\n'
    shown = await imported(running, body)
    assert (shown["accepted"], shown["rejected"]) == (2, 4)
    errors = await errors_of(running, shown)
    assert [(error["row"], error["id"], error["name"]) for error in errors] == [
        ("3", "c2", '"a"b'),
        ("4", "c3", ""),
        ("5", "c4", "ok"),
        ("6", "c5", '"open'),
    ]
    assert set(await written(running)) == {"c1", "c6"}
    assert {group["code"] for group in shown["errors"]} == {"stray_quote", "wrong_width", "quote_not_closed"}


async def test_a_quote_left_open_costs_one_of_twenty_thousand_rows(running: Running) -> None:
    lines = [b"id,name\n", *(b"r%d,x\n" % number for number in range(20_000))]
    lines[3] = b'z3,"5 inch\n'
    shown = await imported(running, b"".join(lines))
    assert (shown["accepted"], shown["rejected"], shown["rows_total"]) == (19_999, 1, 20_000)
    (error,) = await errors_of(running, shown)
    assert (error["row"], error["id"], error["name"]) == ("4", "z3", '"5 inch')


async def test_rows_without_content_are_passed_over_and_still_counted_for_row_numbers(running: Running) -> None:
    shown = await imported(running, b"id,n\n\nc1,1\n,\n , \nc2,x\n", "&type=n=number")
    assert (shown["accepted"], shown["rejected"], shown["blank_rows"]) == (1, 1, 3)
    assert (await errors_of(running, shown))[0]["row"] == "6"


async def test_a_file_with_a_header_only_is_an_import_of_nothing(running: Running) -> None:
    shown = await imported(running, b"id,name\n")
    assert (shown["accepted"], shown["rejected"], shown["rows_total"]) == (0, 0, 0)


async def test_columns_named_by_numbers_are_columns_where_the_sender_names_one(running: Running) -> None:
    file = b"customer,2024,2025\nc1,10,20\n"
    answer = await running.http.post("/api/v2/imports?commit=true&id_column=customer&map=2025=orders", content=file)
    assert answer.status_code == 202, answer.text
    await ended(running, answer.json()["id"])
    assert (await written(running))["c1"]["attributes"] == {"customer": "c1", "2024": 10, "orders": 20}


async def test_a_file_without_a_header_is_imported_by_the_numbers_of_its_columns(running: Running) -> None:
    answer = await running.http.post(
        "/api/v2/imports",
        params={"commit": "true", "id_column": "column 1", "map": "column 2=plan"},
        content=b"ann@x.de,pro\nbob@x.de,free\n",
    )
    assert (await ended(running, answer.json()["id"]))["accepted"] == 2
    assert (await written(running))["ann@x.de"]["attributes"] == {"column 1": "ann@x.de", "plan": "pro"}
