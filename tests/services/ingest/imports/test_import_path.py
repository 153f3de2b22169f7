"""A CSV file from upload to the input log, on a real broker."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.topics import Topic
from tests.services.ingest.conftest import Running, read_all
from tests.waiting import until

pytestmark = pytest.mark.broker

WAIT_S = 120


async def ended(running: Running, import_id: str) -> dict[str, Any]:
    return await until(
        lambda: import_shown(running, import_id),
        WAIT_S,
        "the import to end",
        every_s=0.02,
        satisfies=lambda shown: shown["state"] in ("completed", "failed", "cancelled", "checked"),
    )


async def import_shown(running: Running, import_id: str) -> dict[str, Any]:
    answer = await running.http.get(f"/api/v2/imports/{import_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def written(running: Running) -> dict[str, dict[str, Any]]:
    records = await read_all(running.settings, Topic.CONTACT_CHANGES)
    return {record.key.decode(): orjson.loads(record.value) for record in records}


async def test_one_request_imports_a_file(running: Running) -> None:
    body = b"contact_id,zip,orders,amount\n00001,01234,2,12.00\n00002,98765,0,7.50\n00003,,1,\n"
    answer = await running.http.post("/api/v2/imports?commit=true&id_column=contact_id&filename=c.csv", content=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v2/imports/{answer.json()['id']}"
    shown = await ended(running, answer.json()["id"])
    assert (shown["state"], shown["accepted"], shown["rejected"], shown["rows_total"]) == ("completed", 3, 0, 3)
    records = await written(running)
    assert records["00001"]["attributes"] == {"zip": "01234", "orders": 2, "amount": 12.0}
    assert records["00003"]["attributes"] == {"orders": 1}
    assert records["00001"]["message_id"] == f"{shown['id']}:2"
    assert records["00001"]["source"] == {"kind": "import", "ref": shown["id"]}


async def test_a_value_that_nobody_declared_says_what_its_cell_said(running: Running) -> None:
    body = b"id,app_version,rev,sku,price,ratio\n1,2.10,2.9,12E45,10.50,0.12345678901234567891\n2,2.11,2.10,7,9.99,1\n"
    answer = await running.http.post("/api/v2/imports?commit=true&id_column=id", content=body)
    assert (await ended(running, answer.json()["id"]))["accepted"] == 2
    assert (await written(running))["1"]["attributes"] == {
        "app_version": "2.10",
        "rev": "2.9",
        "sku": "12E45",
        "price": 10.5,
        "ratio": "0.12345678901234567891",
    }


async def test_a_file_is_uploaded_mapped_tried_and_committed_step_by_step(running: Running) -> None:
    body = "E-Mail;Vorname;Orders\nann@x.de;Änne;3\nbob@x.de;Bob;many\n;Nobody;1\n".encode("cp1252")
    answer = await running.http.post("/api/v2/imports?filename=liste.csv", content=body)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "uploaded"
    assert shown["format"] == {
        "encoding": "cp1252",
        "encoding_sure": False,
        "delimiter": ";",
        "line_end": "\n",
        "header": True,
    }
    assert [column["name"] for column in shown["columns"]] == ["E-Mail", "Vorname", "Orders"]
    assert shown["preview"][0]["cells"] == ["ann@x.de", "Änne", "3"]
    path = f"/api/v2/imports/{shown['id']}"
    refused = await running.http.post(f"{path}/commit")
    assert refused.status_code == 409
    assert "no_mapping" in refused.text

    mapping = {
        "id_column": "E-Mail",
        "columns": {"Vorname": {"attribute": "first_name"}, "Orders": {"attribute": "orders", "type": "number"}},
    }
    answer = await running.http.put(f"{path}/mapping", json=mapping)
    assert answer.status_code == 200, answer.text
    assert answer.json()["preview"][0]["attributes"] == {"first_name": "Änne", "orders": 3}
    assert answer.json()["preview"][1]["problems"][0]["column"] == "Orders"

    assert (await running.http.post(f"{path}/dry-run")).status_code == 202
    tried = (await ended(running, shown["id"]))["dry_run"]
    assert (tried["would_write"], tried["would_reject"], tried["rows_total"]) == (1, 2, 3)
    assert {(group["column"], group["count"]) for group in tried["errors"]} == {("E-Mail", 1), ("Orders", 1)}
    assert await written(running) == {}
    tried_report = (await running.http.get(f"{path}/errors.csv")).text

    assert (await running.http.post(f"{path}/commit")).status_code == 202
    shown = await ended(running, shown["id"])
    assert shown["state"] == "completed"
    assert (shown["accepted"], shown["rejected"]) == (1, 2)
    assert (await written(running))["ann@x.de"]["attributes"] == {"first_name": "Änne", "orders": 3}
    report = (await running.http.get(f"{path}/errors.csv")).text
    assert report == tried_report
    assert report.splitlines()[0] == "E-Mail,Vorname,Orders,row,column,expected,found,fix"
    assert report.splitlines()[1].startswith("bob@x.de,Bob,many,3,Orders,a number such as")

    again = await running.http.post("/api/v2/imports", content=body)
    assert again.json()["mapping_source"] == "remembered"
    assert again.json()["mapping"]["id_column"] == "E-Mail"
