"""The topic table says what the contract with every producer and consumer says."""

from __future__ import annotations

import pytest

from schemas.topics import SPECS, Cleanup, Partitioning, Topic, topic_name


def test_every_topic_has_a_spec() -> None:
    assert set(SPECS) == set(Topic)


def test_the_prefix_comes_first() -> None:
    assert topic_name("acme.", Topic.MEMBERSHIPS) == "acme.memberships"


def test_input_time_is_the_broker_time() -> None:
    assert SPECS[Topic.CONTACT_CHANGES].config["message.timestamp.type"] == "LogAppendTime"


def test_the_audit_history_is_neither_compacted_nor_expired() -> None:
    config = SPECS[Topic.SEGMENTS].config
    assert (config["cleanup.policy"], config["retention.ms"], config["retention.bytes"]) == ("delete", "-1", "-1")


@pytest.mark.parametrize("topic", [Topic.CONTACT_CHANGES, Topic.CONTACTS_CHANGELOG, Topic.MEMBERSHIPS])
def test_what_belongs_to_a_contact_is_partitioned_like_its_input(topic: Topic) -> None:
    assert SPECS[topic].partitioning is Partitioning.BY_CONTACT
    assert SPECS[topic].partition_count(64) == 64


@pytest.mark.parametrize("topic", [Topic.SEGMENTS, Topic.ATTRIBUTES, Topic.EVALUATOR_STATUS])
def test_what_is_one_order_for_everybody_has_one_partition(topic: Topic) -> None:
    assert SPECS[topic].partition_count(64) == 1


def test_changelogs_are_compacted() -> None:
    compacted = {topic for topic, spec in SPECS.items() if spec.cleanup is Cleanup.COMPACT}
    assert compacted >= {Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG, Topic.MEMBERSHIPS, Topic.ATTRIBUTES}
