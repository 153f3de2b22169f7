"""The log's port on a real broker: whatever its size, a record arrives once, in order, and is counted."""

from __future__ import annotations

import os

import pytest

from schemas.topics import Topic, topic_name
from services.evaluator.kafka_log import BATCH_BYTES_MAX, KafkaChangelogs, KafkaTransactionalLog
from services.evaluator.ports import Bounds, OutputRecord
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics

PART = (Topic.CONTACTS_CHANGELOG, 0)
SIZES = {
    "small ones share a batch": [10, 20, 30],
    "more than one batch holds": [BATCH_BYTES_MAX // 3] * 7,
    "one too large for a batch between small ones": [10, 4 * BATCH_BYTES_MAX, 20],
    "several too large for a batch": [2 * BATCH_BYTES_MAX, 3 * BATCH_BYTES_MAX, 10, 2 * BATCH_BYTES_MAX],
}


@pytest.mark.broker
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
async def test_records_of_any_size_are_appended_in_order_and_counted(
    broker: str, topic_prefix: str, sizes: list[int]
) -> None:
    await ensure_topics(RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=1))
    client = {"bootstrap_servers": broker}
    log = KafkaTransactionalLog(
        0,
        input_topic=topic_name(topic_prefix, Topic.CONTACT_CHANGES),
        group=f"{topic_prefix}group",
        topic_name=lambda topic: topic_name(topic_prefix, topic),
        client=client,
    )
    sent = [OutputRecord(b"%d" % number, os.urandom(size)) for number, size in enumerate(sizes)]
    await log.start()
    await log.begin()
    await log.append(Topic.CONTACTS_CHANGELOG, sent)
    await log.append(Topic.CONTROL_CHANGELOG, [OutputRecord(b"clock", b"{}")])
    assert await log.acknowledged() == {Topic.CONTACTS_CHANGELOG: len(sent), Topic.CONTROL_CHANGELOG: 1}
    await log.commit(1, tell_group=True)
    await log.close()
    changelogs = KafkaChangelogs(lambda topic: topic_name(topic_prefix, topic), client)
    await changelogs.start()
    bounds = await changelogs.bounds(*PART)
    assert bounds == Bounds(0, len(sent) + 1)  # and the marker
    found = [record async for drained in changelogs.drain({PART: bounds}) for record in drained.records]
    await changelogs.close()
    assert [(each.key, each.value) for each in found] == [(each.key, each.value) for each in sent]
