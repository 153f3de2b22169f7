"""A contact lands in the same partition whichever client writes it, configured as documented."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from deploy.local.jars import kafka_jars
from deploy.local.java import find_java
from deploy.local.say import to_standard_error
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from tests.services.ingest.conftest import PARTITIONS, Running, read_all

pytestmark = pytest.mark.broker
VALUE = b'{"attributes":{}}'
JAVA_SOURCE = Path(__file__).parent / "java" / "Produce.java"
JAVA_TIMEOUT_S = 90
REQUIRED = os.environ.get("TIDEGATE_REQUIRE_JAVA") == "1"
CONTACTS = [
    *(f"u_{number}" for number in range(40)),
    *("x" * length for length in range(1, 9)),
    "ünïcode",
    "a|b",
    "x" * 300,
    "é" * 256,
    "0",
    " ",
    "\t",
    "line\nbreak",
    "nul\0inside",
    "'\"\\`$(rm)",
    "日本語",
    "עברית",
    "👩‍👩‍👧",
    "e\u0301",
    "contact@example.org",
    "https://example.org/a?b=c&d=%20",
]


def write_with_librdkafka(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for contact_id in CONTACTS:
        producer.produce(topic, VALUE, contact_id.encode())
    assert producer.flush(20) == 0


async def write_with_aiokafka(bootstrap: str, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for contact_id in CONTACTS:
            await producer.send_and_wait(topic, VALUE, contact_id.encode())


def write_with_java(bootstrap: str, topic: str) -> None:
    """Through Apache Kafka's own client, of the very jars that the local broker runs on."""
    java = find_java()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=True).stdout
    if "jdk.compiler@" not in modules:
        reason = f"the Java client's part needs a JDK 17 or newer; {java} has no compiler"
        if REQUIRED:
            pytest.fail(f"{reason}, and TIDEGATE_REQUIRE_JAVA is 1")
        pytest.skip(f"it was not run: {reason}")
    classpath = ":".join(str(jar) for jar in kafka_jars(to_standard_error))
    ids = "\n".join(base64.b64encode(contact_id.encode()).decode() for contact_id in CONTACTS)
    done = subprocess.run(
        [java, "-Xmx128m", "-cp", classpath, JAVA_SOURCE, bootstrap, topic],
        input=ids,
        capture_output=True,
        text=True,
        timeout=JAVA_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [int(line) for line in done.stdout.split()] == expected(), done.stderr


def expected() -> list[int]:
    """Where the evaluator looks for each contact."""
    return [partition_for(ContactId(contact_id), PARTITIONS) for contact_id in CONTACTS]


async def written(running: Running) -> dict[str, list[int]]:
    seen: dict[str, list[int]] = {}
    for record in await read_all(running.settings, Topic.CONTACT_CHANGES):
        seen.setdefault(record.key.decode(), []).append(record.partition)
    return seen


@pytest.mark.parametrize("write", [write_with_librdkafka, write_with_java], ids=["librdkafka", "java"])
async def test_a_client_chooses_the_partition_that_the_evaluator_expects(
    running: Running, write: Callable[[str, str], None]
) -> None:
    topic = topic_name(running.settings.topic_prefix, Topic.CONTACT_CHANGES)
    await asyncio.to_thread(write, running.settings.kafka_bootstrap, topic)
    assert await written(running) == {name: [where] for name, where in zip(CONTACTS, expected(), strict=True)}


async def test_aiokafka_and_ingest_choose_the_partition_that_the_evaluator_expects(running: Running) -> None:
    topic = topic_name(running.settings.topic_prefix, Topic.CONTACT_CHANGES)
    await write_with_aiokafka(running.settings.kafka_bootstrap, topic)
    batch = {"contacts": [{"id": contact_id, "attributes": {}} for contact_id in CONTACTS]}
    assert (await running.http.post("/api/v2/contacts", json=batch)).status_code == 202
    assert await written(running) == {name: [where] * 2 for name, where in zip(CONTACTS, expected(), strict=True)}
