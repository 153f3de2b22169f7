"""Writing contacts through HTTP onto a real log."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from schemas.codec import ContactDelete, ContactWrite, decode_input
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.model import AttributeName, ContactId
from tests.services.ingest.conftest import PARTITIONS, Running, read_all

pytestmark = pytest.mark.broker

ANSWER_BYTES_MAX = 64 * 1024
BATCH_ANSWER_BYTES_MAX = 2 * 1024 * 1024
"""What an answer to a refusal may have, for one thing and for a thousand contacts."""


async def test_an_accepted_contact_is_on_the_log_as_the_evaluator_reads_it(running: Running) -> None:
    sent = {"id": "u_17", "attributes": {"plan": "pro", "address": {"city": "Oslo"}, "phone": None}}
    answer = await running.http.post("/api/v2/contacts", json=sent)
    assert answer.status_code == 202, answer.text
    (record,) = await read_all(running.settings, Topic.CONTACT_CHANGES)
    decoded = decode_input(record.key, record.value, record.headers)
    expected = {"plan": "pro", "address.city": "Oslo", "phone": None}
    assert decoded == ContactWrite(ContactId("u_17"), {AttributeName(name): value for name, value in expected.items()})
    receipt = answer.json()
    assert (receipt["partition"], receipt["offset"]) == (record.partition, record.offset)
    assert record.partition == partition_for(ContactId("u_17"), PARTITIONS)


async def test_a_batch_is_answered_item_by_item_and_only_good_items_are_written(running: Running) -> None:
    batch = {
        "contacts": [
            {"id": "a", "attributes": {"n": 1}},
            {"id": "", "attributes": {}},
            {"id": "c", "attributes": {"tags": [[1]]}},
            {"id": "d", "attributes": {}},
        ]
    }
    answer = await running.http.post("/api/v2/contacts", json=batch)
    assert answer.status_code == 207
    receipts = answer.json()["receipts"]
    assert [receipt["status"] for receipt in receipts] == [202, 422, 422, 202]
    assert receipts[2]["errors"][0]["pointer"] == "/contacts/2/attributes/tags/0"
    written = await read_all(running.settings, Topic.CONTACT_CHANGES)
    assert sorted(record.key for record in written) == [b"a", b"d"]


async def test_a_batch_without_one_good_contact_is_refused_whole(running: Running) -> None:
    batch = {"contacts": [{"id": ""}, {"id": "b", "attributes": 5}]}
    answer = await running.http.post("/api/v2/contacts", json=batch)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/contacts/0/id", "/contacts/1/attributes"]
    assert await read_all(running.settings, Topic.CONTACT_CHANGES) == []


async def test_a_thousand_contacts_are_written_in_the_order_of_the_batch(running: Running) -> None:
    contacts = [{"id": f"u{n % 10}", "attributes": {"n": n}} for n in range(1_000)]
    answer = await running.http.post("/api/v2/contacts", json={"contacts": contacts})
    assert answer.status_code == 202
    seen: dict[ContactId, list[int]] = {}
    for record in await read_all(running.settings, Topic.CONTACT_CHANGES):
        decoded = decode_input(record.key, record.value, record.headers)
        assert isinstance(decoded, ContactWrite)
        seen.setdefault(decoded.contact_id, []).append(int(str(decoded.attributes[AttributeName("n")])))
    assert seen == {f"u{digit}": list(range(digit, 1_000, 10)) for digit in range(10)}


async def test_an_id_of_any_characters_can_be_patched_and_erased(running: Running) -> None:
    paths = {contact_id: quote(contact_id, safe="") for contact_id in ("u/17", "a b", "ü|%2F", "?#")}
    paths[".."] = "%2E%2E"
    for path in paths.values():
        patched = await running.http.patch(f"/api/v2/contacts/{path}", json={"attributes": {"plan": "pro"}})
        erased = await running.http.delete(f"/api/v2/contacts/{path}")
        assert (patched.status_code, erased.status_code) == (202, 202), patched.text
    seen: dict[str, list[object]] = {}
    for record in await read_all(running.settings, Topic.CONTACT_CHANGES):
        decoded = decode_input(record.key, record.value, record.headers)
        seen.setdefault(record.key.decode(), []).append(decoded)
    written = {AttributeName("plan"): "pro"}
    assert seen == {
        contact_id: [ContactWrite(ContactId(contact_id), written), ContactDelete(ContactId(contact_id))]
        for contact_id in paths
    }


BODIES_THAT_CANNOT_BE_TAKEN = [
    (b"", 400, "invalid_json"),
    (b"{", 400, "invalid_json"),
    (b'{"id":"a","attributes":{"n":NaN}}', 400, "invalid_json"),
    (b'{"id":"a","attributes":{"n":1,"n":2}}', 400, "duplicate_key"),
    (b'{"id":"a","attributes":{"n":"\xff"}}', 400, "invalid_json"),
    (b"[" * 100_000, 400, "too_deep"),
    (b'{"id":"a","attributes":{"n":"' + b"x" * 5 * 1024 * 1024 + b'"}}', 413, "body_too_large"),
    (b'{"id":"a","attributes":{"n":"' + b"x" * 256 * 1024 + b'"}}', 422, "invalid_request"),
    (b'{"id":"a","plan":"pro"}', 422, "invalid_request"),
    (b'{"id":17,"attributes":{}}', 422, "invalid_request"),
    (b"[]", 422, "invalid_request"),
    (b'{"contacts":[]}', 422, "invalid_request"),
]


async def test_a_body_that_cannot_be_taken_is_a_problem_and_writes_nothing(running: Running) -> None:
    for body, status, code in BODIES_THAT_CANNOT_BE_TAKEN:
        answer = await running.http.post("/api/v2/contacts", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), body[:80]
        assert answer.headers["content-type"] == "application/problem+json"
    assert await read_all(running.settings, Topic.CONTACT_CHANGES) == []


STRANGE = {f"k{number}": 1 for number in range(100_000)}
LONG = {"k" * 1_000_000: 1}
MUCH_IS_WRONG: list[tuple[str, str, dict[str, Any], int]] = [
    (method, path, {**body, **strange}, ANSWER_BYTES_MAX)
    for strange in (STRANGE, LONG)
    for method, path, body in (
        ("POST", "/contacts", {"id": "a", "attributes": {}}),
        ("POST", "/contacts", {"contacts": []}),
        ("PATCH", "/contacts/a", {"attributes": {}}),
        ("POST", "/contacts/a/merge", {"into": "b"}),
        ("POST", "/segments", {"id": "s", "where": "plan is Pro"}),
        ("POST", "/segments/validate", {"where": "plan is Pro"}),
        ("PUT", "/attributes/a", {"type": "text"}),
        ("POST", "/keys", {"name": "k", "scopes": ["admin"]}),
        ("POST", "/dead-letters/0/0/replay", {}),
    )
]
BAD = {"id": "a", "attributes": {f"a{number}": {"": 1} for number in range(100)}}
MUCH_IS_WRONG += [
    ("POST", "/contacts", {"contacts": [BAD] * 900}, BATCH_ANSWER_BYTES_MAX),
    ("POST", "/contacts", {"contacts": [{"id": "b", "attributes": {}}] + [BAD] * 900}, BATCH_ANSWER_BYTES_MAX),
]


async def test_what_is_said_of_a_request_is_short_however_much_is_wrong_with_it(running: Running) -> None:
    for method, path, body, bytes_max in MUCH_IS_WRONG:
        answer = await running.http.request(method, f"/api/v2{path}", json=body)
        assert answer.status_code in (207, 422), (path, answer.text[:200])
        assert len(answer.content) < bytes_max, (method, path, len(answer.content))


async def test_every_refused_contact_of_a_batch_says_why(running: Running) -> None:
    good, bad = {"id": "b", "attributes": {}}, {"id": "a", "attributes": {"a": {"": 1}}, "plan": 1}
    receipts = (await running.http.post("/api/v2/contacts", json={"contacts": [good, *[bad] * 999]})).json()["receipts"]
    assert {tuple(error["code"] for error in receipt["errors"]) for receipt in receipts[1:]} == {
        ("unknown_field", "empty_name")
    }


async def test_the_request_id_of_the_sender_is_kept_when_it_can_be_logged(running: Running) -> None:
    body = {"id": "a", "attributes": {}}
    kept = await running.http.post("/api/v2/contacts", json=body, headers={"X-Request-Id": "trace-1"})
    made = await running.http.post("/api/v2/contacts", json=body, headers={"X-Request-Id": 'bad "id"'})
    assert kept.headers["x-request-id"] == "trace-1"
    assert kept.json()["message_id"] == "trace-1-0"
    assert made.headers["x-request-id"].startswith("req_")


async def test_writes_at_the_same_time_are_each_acknowledged(running: Running) -> None:
    answers = await asyncio.gather(
        *(running.http.post("/api/v2/contacts", json={"id": f"u{n}", "attributes": {}}) for n in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == 50
