"""From an HTTP request to a membership change, on a running system: writes, time, definitions, a crash."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from bench.waiting import until
from schemas.topics import Topic, topic_name
from segmentation.model import SegmentId
from tests.e2e.conftest import RunningSystem
from tests.oracle.checker import Published, fold
from tests.oracle.workspace import judge_workspace, read_topic

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
SETTLE_TIMEOUT_S = 180
CONTACTS = 200
CRASH_LOAD_S = 12
RECENT_S = 6
"""Long enough for a write on a busy machine to come in time."""
EVALUATOR_GROUP = "evaluator"


def members(system: RunningSystem, segment_id: str) -> set[str]:
    """The segment's members as any consumer of `memberships` folds them."""
    messages = read_topic(system.kafka, topic_name("", Topic.MEMBERSHIPS), system.partitions)
    published = [Published(each.partition, each.offset, each.key, each.value) for each in messages]
    return {str(contact_id) for contact_id in fold(published).get(SegmentId(segment_id), set())}


def changes_of(system: RunningSystem, key: bytes) -> list[dict[str, Any]]:
    """Every change of a contact in a segment."""
    messages = read_topic(system.kafka, topic_name("", Topic.MEMBERSHIPS), system.partitions)
    return [json.loads(each.value) for each in messages if each.key == key and each.value]


def until_members(system: RunningSystem, segment_id: str, wanted: set[str]) -> None:
    """Return once the segment has exactly these members."""
    awaited = f"the members {sorted(wanted)} of {segment_id}"
    until(lambda: members(system, segment_id), SETTLE_TIMEOUT_S, awaited, satisfies=lambda found: found == wanted)


def test_a_write_enters_a_segment_and_another_leaves_it(system: RunningSystem) -> None:
    system.post("/segments", {"id": "path-pro", "where": 'plan is "Pro"'})
    system.post("/contacts", {"id": "path-1", "attributes": {"plan": "pro"}})
    until_members(system, "path-pro", {"path-1"})
    system.post("/contacts", {"id": "path-1", "attributes": {"plan": "free"}})
    until_members(system, "path-pro", set())


def test_the_json_form_and_nested_attributes_go_the_same_way(system: RunningSystem) -> None:
    where = [{"account.plan": "pro"}, {"email_verified": True}]
    system.post("/segments", {"id": "path-json", "where": where, "mode": "realtime"})
    contact = {"id": "path-2", "attributes": {"account": {"plan": "PRO"}, "email_verified": True}}
    system.post("/contacts", {"contacts": [contact]})
    until_members(system, "path-json", {"path-2"})


def test_a_time_condition_fires_with_no_activity_at_its_exact_instant(system: RunningSystem) -> None:
    system.define("path-recent", f"last_active within last {RECENT_S} seconds")
    active = datetime.now(UTC).replace(microsecond=0)
    system.post("/contacts", {"id": "path-3", "attributes": {"last_active": active.isoformat()}})
    changes = until(
        lambda: changes_of(system, b"path-recent|path-3"),
        SETTLE_TIMEOUT_S,
        "an enter and an exit",
        satisfies=lambda found: len(found) == 2,
    )
    assert members(system, "path-recent") == set()
    due = round((active + timedelta(seconds=RECENT_S)).timestamp() * 1000)
    assert [change["change"] for change in changes] == ["enter", "exit"]
    assert changes[1]["at"] == due
    assert changes[1]["cause"]["kind"] == "time"


def test_a_definition_takes_in_contacts_that_were_there_before(system: RunningSystem) -> None:
    system.post("/contacts", {"contacts": [{"id": f"old-{n}", "attributes": {"score": n}} for n in range(50)]})
    system.post("/segments", {"id": "path-high", "where": "score >= 40"})
    until_members(system, "path-high", {f"old-{n}" for n in range(40, 50)})


def test_killing_the_evaluator_under_load_loses_and_doubles_nothing(system: RunningSystem) -> None:
    system.post("/segments", {"id": "crash-a", "where": "visits >= 3 AND NOT blocked"})
    system.post("/segments", {"id": "crash-b", "where": "seen within last 4 seconds OR in segment crash-a"})
    stop = threading.Event()
    acknowledged: list[str] = []
    load = threading.Thread(target=write_until, args=(system, stop, acknowledged))
    load.start()
    time.sleep(CRASH_LOAD_S / 3)
    system.kill("evaluator")
    time.sleep(2 * CRASH_LOAD_S / 3)
    stop.set()
    load.join()
    assert len(acknowledged) > 100
    ends = next_offsets(system)
    wait_until_evaluated(system, ends)
    # What was due by then is published a little later. What is wrong otherwise stays so: a log is never mended.
    judgement = until(
        lambda: judge_workspace(system.kafka, "", system.partitions, ends),
        SETTLE_TIMEOUT_S / 3,
        "every change that the log demands, and no other",
        satisfies=lambda judged: not judged.violations,
    )
    assert judgement.expected_changes > 50


def write_until(system: RunningSystem, stop: threading.Event, acknowledged: list[str]) -> None:
    randomness = Random(7)
    while not stop.is_set():
        contact_id = f"crash-{randomness.randrange(CONTACTS)}"
        attributes = randomness.choice(
            [
                {"visits": randomness.randrange(6)},
                {"blocked": randomness.random() < 0.5},
                {"seen": datetime.now(UTC).isoformat()},
                {"visits": None},
            ]
        )
        acknowledged.append(system.post("/contacts", {"id": contact_id, "attributes": attributes}).text)


def next_offsets(system: RunningSystem) -> dict[int, int]:
    """The end of the input log, by partition."""
    messages = read_topic(system.kafka, topic_name("", Topic.CONTACT_CHANGES), system.partitions)
    return {each.partition: each.offset + 1 for each in messages}


def wait_until_evaluated(system: RunningSystem, ends: dict[int, int]) -> None:
    """Until the committed position has passed these ends."""
    consumer = Consumer({"bootstrap.servers": system.kafka, "group.id": EVALUATOR_GROUP, "enable.auto.commit": False})
    topic = topic_name("", Topic.CONTACT_CHANGES)
    wanted = [TopicPartition(topic, partition) for partition in ends]
    try:
        until(
            lambda: {each.partition: each.offset for each in consumer.committed(wanted, timeout=10)},
            SETTLE_TIMEOUT_S,
            f"the positions {ends} to be committed",
            satisfies=lambda there: all(there[partition] >= end for partition, end in ends.items()),
        )
    finally:
        consumer.close()
