"""What people do by hand, against the whole system: try a file out before it is written, and repair a dead letter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from bench.waiting import until
from schemas.partitioner import partition_for
from schemas.topics import Topic
from segmentation.model import ContactId
from tests.e2e.conftest import RunningSystem

pytestmark = pytest.mark.broker
WAIT_S = 30.0


def awaited(system: RunningSystem, path: str, wanted: Any) -> Any:
    """The console's answer once it is as wanted."""

    def told() -> tuple[bool, Any]:
        answer = system.http.get(f"{system.console}/api/v2{path}")
        return answer.is_success, answer.json()

    return until(told, WAIT_S, f"{path} to be as wanted", satisfies=lambda found: found[0] and wanted(found[1]))[1]


def test_a_dry_run_says_exactly_what_the_commit_then_does(system: RunningSystem) -> None:
    known = [{"id": f"dry_{n}", "attributes": {"plan": "pro" if n % 2 else "free", "n": n}} for n in range(200)]
    written = system.http.post(
        f"{system.ingest}/api/v2/contacts", json={"contacts": known}, headers={"Prefer": "wait=20"}
    )
    assert written.status_code == 200, written.text
    # 100 to leave, 100 to update, 50 to create of which one comes twice and is updated once more, 1 to reject.
    rows = [f"dry_{n},pro,{n}" for n in range(200)]
    rows += [f"dry_{n},pro,{n}" for n in range(200, 250)]
    rows += ["dry_249,free,249", ",pro,1"]
    file = "contact_id,plan,n\n" + "\n".join(rows) + "\n"
    form = {"id_column": "contact_id", "type": "n=number"}
    sent = system.http.post(f"{system.console}/api/v2/imports", data=form, files={"file": ("dry.csv", file)})
    assert sent.status_code == 201, sent.text
    path = f"/imports/{sent.json()['id']}"
    system.post(f"{path}/dry-run", None)
    tried = awaited(system, path, lambda shown: shown["state"] == "checked")["dry_run"]
    assert tried["note"] is None
    assert [tried[f"would_{what}"] for what in ("create", "update", "leave", "reject")] == [50, 101, 100, 1]
    assert system.http.get(f"{system.console}/api/v2/contacts/dry_200").status_code == 404

    system.post(f"{path}/commit", None)
    shown = awaited(system, path, lambda shown: shown["state"] == "completed")
    assert (shown["accepted"], shown["rejected"]) == (251, 1)
    last = awaited(system, "/contacts/dry_249", lambda contact: contact["attributes"].get("plan") == "free")
    assert last["attributes"]["n"] == 249
    again = system.http.post(f"{system.ingest}/api/v2/imports", data=form, files={"file": ("dry.csv", file)})
    path = f"/imports/{again.json()['id']}"
    awaited(system, "/contacts/dry_248", lambda contact: contact["attributes"].get("n") == 248)
    system.post(f"{path}/dry-run", None)
    tried = awaited(system, path, lambda shown: shown["state"] == "checked")["dry_run"]
    # The contact that comes twice is set back by its first row and changed again by its second.
    assert [tried[f"would_{what}"] for what in ("create", "update", "leave", "reject")] == [0, 2, 249, 1]


async def produce(system: RunningSystem, contact_id: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=system.kafka) as producer:
        partition = partition_for(ContactId(contact_id), system.partitions)
        await producer.send_and_wait(Topic.CONTACT_CHANGES.value, value, contact_id.encode(), partition)


def test_a_dead_letter_is_found_repaired_and_evaluated(system: RunningSystem) -> None:
    system.post("/segments", {"id": "repaired", "where": 'plan is "repaired"'})
    asyncio.run(produce(system, "poisoned", b'{"attributes": {"plan": "repaired"'))
    page = awaited(
        system, "/dead-letters", lambda page: any(letter["key"] == "poisoned" for letter in page["dead_letters"])
    )
    (letter,) = [letter for letter in page["dead_letters"] if letter["key"] == "poisoned"]
    path = f"{system.console}/api/v2/dead-letters/{letter['partition']}/{letter['offset']}/replay"
    refused = system.http.post(path)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, letter["code"])
    value = {"attributes": {"plan": "repaired"}}
    replayed = [system.http.post(path, json={"value": value}) for _ in range(2)]
    assert [answer.status_code for answer in replayed] == [202, 202], replayed[0].text
    assert replayed[0].json() == replayed[1].json()
    awaited(system, "/contacts/poisoned", lambda contact: "repaired" in str(contact["memberships"]))
    entries = system.http.get(f"{system.console}/api/v2/audit", params={"kind": "dead_letter"}).json()["entries"]
    place = f"{letter['partition']}/{letter['offset']}"
    (entry,) = [entry for entry in entries if entry["subject"] == place]
    assert entry["to"]["repaired"] is True
