"""Definitions that cannot be read: passed by, counted, and told of without what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from services.ingest.definition_log import DefinitionTopics
from services.ingest.settings import IngestSettings
from services.runtime.metrics import REGISTRY

SEGMENTS = TopicPartition("odd-segments", 0)
UNREADABLE = {
    "segment_id": "canary", "version": 1, "replaces": 0, "name": "canary", "where": {"plan": {"canary": 1}}, "text": "",
}  # fmt: skip


@pytest.mark.parametrize("value", [None, b"{}", b"canary", json.dumps(UNREADABLE).encode()])
def test_a_definition_that_cannot_be_read_is_counted_and_named(tmp_path: Path, value: bytes | None) -> None:
    topics = DefinitionTopics(IngestSettings(data_dir=tmp_path, topic_prefix="odd-"), None)
    before = counted()
    with capture_logs() as logged:
        topics._take(SEGMENTS, [SimpleNamespace(topic=SEGMENTS.topic, partition=0, offset=7, value=value)], 8)
    assert counted() == before + 1
    (line,) = logged
    assert (line["topic"], line["offset"]) == (SEGMENTS.topic, 7)
    assert "canary" not in str(logged)
    assert not topics.segments


def counted() -> float:
    return REGISTRY.get_sample_value("tidegate_unreadable_log_records_total", {"topic": SEGMENTS.topic}) or 0.0
