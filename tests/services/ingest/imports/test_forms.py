"""A file that a form sends, as browsers and `curl -F` do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.ingest.imports import multipart
from services.ingest.imports.multipart import FormUpload
from services.runtime.problems import ProblemError
from tests.services.ingest.conftest import Running
from tests.services.ingest.imports.test_import_path import ended, written

pytestmark = pytest.mark.broker
CSV = b"contact_id,plan\nu_1,pro\nu_2,free\n"
BOUNDARY = "----frontier"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def send(running: Running, content: bytes, query: str = "") -> Any:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return await running.http.post(f"/api/v2/imports{query}", content=content, headers=headers)


async def test_a_form_with_fields_and_a_file_is_imported(running: Running) -> None:
    fields = {"id_column": "contact_id", "commit": "true", "map": "plan=tier"}
    answer = await running.http.post("/api/v2/imports", data=fields, files={"file": ("März.csv", CSV, "text/csv")})
    assert answer.status_code == 202, answer.text
    shown = await ended(running, answer.json()["id"])
    assert (shown["state"], shown["accepted"], shown["name"]) == ("completed", 2, "März.csv")
    assert (await written(running))["u_2"]["attributes"] == {"tier": "free"}


async def test_the_query_says_what_the_form_leaves_out_and_wins_where_both_speak(running: Running) -> None:
    content = form(part("filename", b"form.csv"), part("file", CSV, "file.csv"))
    answer = await send(running, content, "?id_column=contact_id&filename=query.csv")
    assert (answer.status_code, answer.json()["name"]) == (201, "query.csv"), answer.text


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_however_the_form_is_cut_the_file_is_the_same_bytes(size: int) -> None:
    content = CSV * 50 + f"\r\n--{BOUNDARY[:-1]}x\r\n".encode()
    whole = form(part("header", b"true"), part("file", content, "a.csv"))
    upload = FormUpload(pieces(whole, size), f"multipart/form-data; boundary={BOUNDARY}")
    assert await upload.fields() == [("header", "true"), ("filename", "a.csv")]
    assert b"".join([piece async for piece in upload.file()]) == content


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (form(part("map", b"a=b")), 422, "no_file"),
        (form(part("file", CSV, "a.csv"), part("commit", b"true")), 422, "field_behind_file"),
        (form(part("file", CSV, "a.csv"), part("file", CSV, "b.csv")), 422, "field_behind_file"),
        (form(part("strange", b"x"), part("file", CSV)), 422, "unknown_parameter"),
        (part("file", CSV, "a.csv"), 400, "upload_broken_off"),
        (b"no form at all", 400, "invalid_form"),
        (form(part("map", b"\xff"), part("file", CSV)), 400, "invalid_form"),
        (form(part("map", b"x" * (multipart.FIELDS_BYTES_MAX + 1)), part("file", CSV)), 413, "form_too_large"),
        (form(*[part("map", b"a=b")] * (multipart.FIELDS_MAX + 1), part("file", CSV)), 413, "form_too_large"),
        (form(part("n" * 20_000, b"x"), part("file", CSV)), 400, "invalid_form"),
    ],
)
async def test_a_form_that_cannot_be_used_is_refused_and_leaves_nothing(
    running: Running, content: bytes, status: int, code: str
) -> None:
    answer = await send(running, content)
    assert answer.status_code == status, answer.text
    assert code in {answer.json()["code"], *(problem["code"] for problem in answer.json().get("errors", ()))}
    assert (await running.http.get("/api/v2/imports")).json()["imports"] == []
    assert list((running.settings.data_dir / "imports").rglob("imp_*")) == []


async def test_a_form_without_a_boundary_is_refused() -> None:
    with pytest.raises(ProblemError) as refused:
        FormUpload(pieces(b"", 1), "multipart/form-data")
    assert (refused.value.status, refused.value.code) == (400, "invalid_form")
