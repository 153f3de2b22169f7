"""The broker of one directory: its records outlive a stop, a kill and a change of its ports."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.local.errors import LocalStackError
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.stack import StopRequestedError
from schemas.topics import Topic, topic_name
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics

TOPIC = topic_name("", Topic.CONTACT_CHANGES)


async def append(bootstrap: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, value, partition=0)
    finally:
        await producer.stop()


async def values(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.broker
def test_records_outlive_a_stop_a_kill_and_a_change_of_ports(tmp_path: Path) -> None:
    for number, ending in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM), start=1):
        port, controller_port = free_ports(2)
        kafka = LocalKafka(tmp_path, port, controller_port)
        kafka.start()
        try:
            asyncio.run(ensure_topics(RuntimeSettings(kafka_bootstrap=kafka.bootstrap, partitions=2)))
            asyncio.run(append(kafka.bootstrap, b"%d" % number))
            assert asyncio.run(values(kafka.bootstrap, number)) == [b"%d" % each for each in range(1, number + 1)]
        finally:
            os.kill(kafka.child.pid, ending)
            assert kafka.stop()


def test_a_stop_while_the_folder_is_made_ready_reaches_the_storage_tool_through_us_alone(tmp_path: Path) -> None:
    """A Ctrl-C goes to every process of the terminal's group: a tool that it ended would look like a failed start."""
    groups: list[int] = []

    def told_to_stop() -> None:
        started = [each for each in psutil.Process().children() if each not in before]
        groups.extend(os.getpgid(each.pid) for each in started)
        raise StopRequestedError

    port, controller_port = free_ports(2)
    before = set(psutil.Process().children())
    with pytest.raises(StopRequestedError):
        LocalKafka(tmp_path, port, controller_port, between_polls=told_to_stop).prepare()
    assert groups
    assert os.getpgrp() not in groups
    assert set(psutil.Process().children()) <= before


@pytest.mark.broker
def test_a_folder_of_any_name_keeps_its_records_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker's settings are read as Latin-1, with backslashes that mean something, and names go by the locale."""
    directory = tmp_path / "José's データ 🎈 \\u0041"
    for number, locale in enumerate(("C", "C.UTF-8"), start=1):
        monkeypatch.setenv("LC_ALL", locale)
        port, controller_port = free_ports(2)
        kafka = LocalKafka(directory, port, controller_port)
        kafka.start()
        try:
            asyncio.run(ensure_topics(RuntimeSettings(kafka_bootstrap=kafka.bootstrap, partitions=2)))
            asyncio.run(append(kafka.bootstrap, b"%d" % number))
            assert len(asyncio.run(values(kafka.bootstrap, number))) == number
        finally:
            assert kafka.stop()
    assert list(tmp_path.iterdir()) == [directory]


def test_a_folder_that_kafka_would_take_for_two_is_refused_in_a_line(tmp_path: Path) -> None:
    port, controller_port = free_ports(2)
    with pytest.raises(LocalStackError, match="has a comma in its name"):
        LocalKafka(tmp_path / "a,b", port, controller_port).start()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broker
def test_a_second_broker_on_the_same_directory_is_one_line(tmp_path: Path) -> None:
    port, controller_port, other_port, other_controller_port = free_ports(4)
    first = LocalKafka(tmp_path, port, controller_port)
    first.start()
    try:
        with pytest.raises(LocalStackError) as refusal:
            LocalKafka(tmp_path, other_port, other_controller_port).start()
    finally:
        first.stop()
    assert str(refusal.value).startswith("Kafka did not start: another broker runs on ")
    assert "\n" not in str(refusal.value)
