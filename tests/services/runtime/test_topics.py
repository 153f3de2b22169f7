"""Topics are created as specified, and a topic of another shape is refused with a message that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import SPECS, Topic, topic_name
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics, expected_config, shape_problems, verify_topics


def settings_for(broker: str, prefix: str, **others: Any) -> RuntimeSettings:
    return RuntimeSettings(kafka_bootstrap=broker, topic_prefix=prefix, **{"partitions": 3, **others})


@pytest.mark.broker
async def test_all_topics_are_created_once_and_then_found_to_be_right(broker: str, topic_prefix: str) -> None:
    settings = settings_for(broker, topic_prefix)
    await ensure_topics(settings)
    await ensure_topics(settings)
    await verify_topics(settings)


@pytest.mark.broker
async def test_topics_that_replay_history_keep_their_producers_timestamps(broker: str, topic_prefix: str) -> None:
    await ensure_topics(settings_for(broker, topic_prefix, replay_history=True))
    with pytest.raises(StartRefusedError, match=r"message.timestamp.type=CreateTime, expected LogAppendTime"):
        await verify_topics(settings_for(broker, topic_prefix))


@pytest.mark.broker
async def test_missing_topics_are_each_named(broker: str, topic_prefix: str) -> None:
    with pytest.raises(StartRefusedError) as refusal:
        await verify_topics(settings_for(broker, topic_prefix))
    for topic in Topic:
        assert f"topic {topic_prefix}{topic.value} is missing" in str(refusal.value)


@pytest.mark.broker
async def test_another_partition_count_is_refused_and_the_migration_named(broker: str, topic_prefix: str) -> None:
    await ensure_topics(settings_for(broker, topic_prefix))
    with pytest.raises(StartRefusedError) as refusal:
        await verify_topics(settings_for(broker, topic_prefix, partitions=4))
    assert f"topic {topic_prefix}memberships has 3 partitions, expected 4" in str(refusal.value)
    assert f"topic {topic_prefix}contact-changes has 3 partitions, expected 4" in str(refusal.value)
    assert str(refusal.value).count("Repartitioning") == 1, "once for all of them"
    assert "segments has" not in str(refusal.value)


@pytest.mark.broker
async def test_another_cleanup_policy_is_refused_and_nothing_is_altered(broker: str, topic_prefix: str) -> None:
    name = topic_name(topic_prefix, Topic.SEGMENTS)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"cleanup.policy": "compact"})])
    finally:
        await admin.close()
    for _ in range(2):
        with pytest.raises(StartRefusedError, match=r"segments has cleanup.policy=compact, expected delete"):
            await ensure_topics(settings_for(broker, topic_prefix), [Topic.SEGMENTS])


async def test_a_broker_that_is_away_is_a_service_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.topics.KAFKA_WAIT_S", 0.2)
    with pytest.raises(ServiceError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        await verify_topics(settings_for("127.0.0.1:1", ""))


def test_retention_is_the_operators_to_tune() -> None:
    spec = SPECS[Topic.CONTACT_CHANGES]
    config = {**spec.config, "retention.ms": "1"}
    assert shape_problems("contact-changes", spec, settings_for("x", ""), 3, config) == []


def test_only_the_input_log_changes_when_history_is_replayed() -> None:
    replaying = settings_for("x", "", replay_history=True)
    changed = [topic for topic in Topic if expected_config(SPECS[topic], replaying) != SPECS[topic].config]
    assert changed == [Topic.CONTACT_CHANGES]
    assert expected_config(SPECS[Topic.CONTACT_CHANGES], replaying)["retention.ms"] == "-1"
