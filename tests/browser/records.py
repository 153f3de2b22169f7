"""Puts records on the topics of a running stack that no route would write: `python -m tests.browser.records`.

`malformed BOOTSTRAP PARTITIONS KEY VALUE` appends a contact change as it is; `segments BOOTSTRAP COUNT` appends that
many definitions, as ingest would, in one go.
"""

from __future__ import annotations

import sys

from confluent_kafka import Producer
from pydantic import JsonValue

from schemas.partitioner import partition_for_key
from schemas.segment_definition import SegmentDefinitionRecord
from schemas.topics import Topic, topic_name
from segmentation.model import SegmentId

FLUSH_TIMEOUT_S = 60
QUEUE_RECORDS_MAX = 200_000


def main(what: str, bootstrap: str, *rest: str) -> None:
    """Write, and wait until the broker has it."""
    producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.messages": QUEUE_RECORDS_MAX})
    if what == "malformed":
        partitions, key, value = rest
        partition = partition_for_key(key.encode(), int(partitions))
        producer.produce(topic_name("", Topic.CONTACT_CHANGES), key=key, value=value, partition=partition)
    elif what == "segments":
        for number in range(int(rest[0])):
            segment_id = SegmentId(f"many_{number:05d}")
            producer.produce(topic_name("", Topic.SEGMENTS), key=segment_id, value=_definition(segment_id, number))
    else:
        raise SystemExit(__doc__)
    if producer.flush(FLUSH_TIMEOUT_S):
        raise SystemExit("the broker did not take the records in time")


def _definition(segment_id: SegmentId, number: int) -> bytes:
    where: JsonValue = {"score": {"gt": number}}
    return SegmentDefinitionRecord(
        segment_id=segment_id, version=1, replaces=0, name=f"Many {number}", where=where, text=f"score > {number}"
    ).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
