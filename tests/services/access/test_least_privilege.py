"""Each service runs over TLS as its own user, and its grants are enough, all needed, and no more."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from pydantic import SecretStr

from deploy.k8s.grants import EVERY_NAME, GRANTS, Grant, Operation, user_name
from schemas.topics import Topic
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings
from tests.services.access.cluster import OPERATIONS, Decision, SecuredCluster
from tests.services.access.system import SERVICES, SecuredSystem
from tests.services.access.work import CANARY, work

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]  # five processes and a broker start for the first test
ANSWER_TIMEOUT_S = 30
REFUSED_AFTER_S = 1.5
AFTER_A_CRASH = {
    ("ingest", Topic.CONTACT_CHANGES, Operation.READ),
    ("evaluator", Topic.MEMBERSHIPS, Operation.READ),
    ("evaluator", Topic.DEAD_LETTERS, Operation.READ),
}
"""An import that another process left unfinished is read back before it goes on, and so are the last records of a
transaction that a broker left without an outcome; this run leaves neither."""


@dataclass(frozen=True, slots=True)
class Worked:
    """The system after it has done everything once, and what it asked of the broker for that."""

    system: SecuredSystem
    decisions: set[Decision]


@pytest.fixture(scope="module")
def worked(cluster: SecuredCluster, system: SecuredSystem) -> Worked:
    asyncio.run(work(cluster, system))
    return Worked(system, cluster.decisions())


def test_every_service_does_its_work_and_asks_for_nothing_that_it_may_not(
    worked: Worked,
) -> None:
    decisions = worked.decisions
    assert {decision.user for decision in decisions} >= {user_name(service) for service in SERVICES}
    assert not [decision for decision in decisions if not decision.allowed]


def test_every_grant_of_every_service_is_needed(worked: Worked) -> None:
    idle = [
        (service, grant.name, operation)
        for service in SERVICES
        for grant in GRANTS[service]
        for operation in grant.operations
        if not any(uses(decision, service, grant, operation) for decision in worked.decisions)
    ]
    assert set(idle) <= AFTER_A_CRASH


def uses(decision: Decision, service: str, grant: Grant, operation: Operation) -> bool:
    named = decision.name.startswith(grant.name) if grant.prefix else grant.name in (decision.name, EVERY_NAME)
    return (
        decision.allowed
        and decision.user == user_name(service)
        and decision.resource.lower() == grant.resource.lower()
        and named
        and decision.operation == OPERATIONS[operation].name
    )


def test_no_value_of_a_contact_is_in_any_log_or_metric(worked: Worked) -> None:
    said = worked.system.log()
    assert all(service in said for service in SERVICES)
    assert CANARY not in said
    exposed = worked.system.metrics()
    assert "tidegate_" in exposed
    assert CANARY not in exposed


@pytest.mark.parametrize("service", list(GRANTS))
def test_no_service_can_read_or_write_a_topic_beyond_its_grants(
    cluster: SecuredCluster, system: SecuredSystem, service: str
) -> None:
    granted = {
        operation: {grant.name for grant in GRANTS[service] if operation in grant.operations}
        for operation in (Operation.READ, Operation.WRITE)
    }
    topics = {topic.value for topic in Topic}
    may_read = granted[Operation.READ] & topics
    assert readable(cluster, service, may_read) == may_read
    # Where it may, we do not: a record of ours would be taken for one of the service's.
    assert writable(cluster, service, [topic for topic in Topic if topic not in granted[Operation.WRITE]]) == set()


def readable(cluster: SecuredCluster, service: str, granted: set[str]) -> set[str]:
    """The topics whose records the service's user is given; returns once those that it must have are among them."""
    consumer = Consumer(
        {**client(cluster, service), "group.id": "nobody", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    given: set[str] = set()

    def take() -> None:
        record = consumer.poll(0.1)
        error = record.error() if record is not None else None
        if record is not None and (error is None or error.code() == KafkaError._PARTITION_EOF):
            given.add(str(record.topic()))

    try:
        consumer.assign([TopicPartition(topic.value, 0, OFFSET_BEGINNING) for topic in Topic])
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not granted <= given:
            assert time.monotonic() < deadline, f"no answer for {granted - given}"
            take()
        # A refusal is no answer, so what is not granted is given a while longer.
        refused_at = time.monotonic() + REFUSED_AFTER_S
        while time.monotonic() < refused_at:
            take()
    finally:
        consumer.close()
    return given


def writable(cluster: SecuredCluster, service: str, topics: list[Topic]) -> set[str]:
    """Those of the topics that take a record of the service's user."""
    producer = Producer({**client(cluster, service), "message.timeout.ms": ANSWER_TIMEOUT_S * 1_000})
    taken: set[str] = set()
    refused: set[str] = set()

    def told(error: KafkaError | None, record: Message) -> None:
        assert error is None or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
        (taken if error is None else refused).add(str(record.topic()))

    for topic in topics:
        producer.produce(topic.value, b"{}", on_delivery=told)
    assert producer.flush(ANSWER_TIMEOUT_S) == 0
    assert taken | refused == set(topics)
    return taken


def client(cluster: SecuredCluster, service: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": cluster.secured,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user_name(service),
        "sasl.password": cluster.password(service),
        "ssl.ca.location": str(cluster.authority),
        "log_level": 0,
    }


def settings_of(cluster: SecuredCluster, service: str, **changed: Any) -> RuntimeSettings:
    return RuntimeSettings(
        **{
            "kafka_bootstrap": cluster.secured,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": user_name(service),
            "kafka_sasl_password": SecretStr(cluster.password(service)),
            "kafka_ssl_ca_file": cluster.authority,
            **changed,
        }
    )


async def test_a_broker_whose_certificate_somebody_else_signed_is_not_spoken_to(cluster: SecuredCluster) -> None:
    consumer = AIOKafkaConsumer(**client_options(settings_of(cluster, "console", kafka_ssl_ca_file=cluster.stranger)))
    with pytest.raises(KafkaConnectionError):
        await consumer.start()
    await consumer.stop()
