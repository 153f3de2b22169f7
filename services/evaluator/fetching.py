"""Fetched records, taken by whole batches: the client's own way makes an object of each, which costs 2 µs a record.

Rule: what is skipped (aborted transactions, markers, what lies before the position) and what is raised are what the
client skips and raises; a test holds the two beside each other. A consumer is read by this or by the client, never by
both.
"""
# ruff: noqa: SLF001 - what has been fetched stands in no public place

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException

from services.evaluator.ports import RECORD_BYTES, InputRecord

Fetched = dict[TopicPartition, list[InputRecord]]
UNPACKED_TOGETHER_BYTES = 64 << 20
"""Once so much has been unpacked, of all partitions together, the rest is taken or fetched later: a megabyte of
compressed batches may be gigabytes."""


async def fetch(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition], timeout_s: float, records_max: int
) -> Fetched:
    """What has been fetched of these partitions; waits for the first of it, and may come back with nothing.

    Shape: records in the order of their partition. Once there are `records_max`, or so many were unpacked, no other
    partition is added, so there may be more by what one fetch of a partition, or one batch, holds. Errors: KafkaError,
    as from the client.
    """
    fetcher: Fetcher = consumer._fetcher
    if consumer._closed or fetcher._closed:
        raise ConsumerStoppedError
    subscriptions = fetcher._subscriptions
    with subscriptions.fetch_context():
        if subscriptions.reassignment_in_progress:
            await subscriptions.wait_for_assignment()
        taken = _take(fetcher, partitions, records_max)
        if taken:
            return taken
        waiter = fetcher._create_fetch_waiter()
        try:
            await asyncio.wait({waiter}, timeout=timeout_s)
        finally:
            if not waiter.done():
                waiter.cancel()
        if waiter.cancelled() or fetcher._closed or subscriptions.reassignment_in_progress:
            return {}
        waiter.result()
        return _take(fetcher, partitions, records_max)


def _take(fetcher: Fetcher, partitions: Collection[TopicPartition], records_max: int) -> Fetched:
    taken: Fetched = {}
    room = UNPACKED_TOGETHER_BYTES
    for at, result in list(fetcher._records.items()):
        if at not in partitions:
            if not fetcher._subscriptions.is_assigned(at):
                del fetcher._records[at]
            continue
        if not isinstance(result, FetchResult):
            if taken:
                break  # the next call tells of the error
            _forget(fetcher, at)
            result.check_raise()
        records, unpacked = _taken(fetcher, at, result, room)
        if records:
            taken[at] = records
            records_max -= len(records)
        room -= unpacked
        if records_max <= 0 or room <= 0:
            break
    return taken


def _taken(fetcher: Fetcher, at: TopicPartition, result: FetchResult, room: int) -> tuple[list[InputRecord], int]:
    unread = result._partition_records
    try:
        if not result.check_assignment(at):
            return [], 0
        read = _read(unread, room)
        result._update_position()
        return read
    finally:
        # Never begun, it refers back to them: only a collection would free what was fetched.
        unread._records_iterator = None
        # Also of one that cannot be read: it is fetched again from where the position stands.
        _forget(fetcher, at)


def _forget(fetcher: Fetcher, at: TopicPartition) -> None:
    """Have the partition be fetched on."""
    del fetcher._records[at]
    fetcher._notify(fetcher._wait_consume_future)


def _read(unread: PartitionRecords, room: int) -> tuple[list[InputRecord], int]:
    """Records up to the batch that takes the last of the room, and about how many bytes of them were unpacked."""
    found: list[InputRecord] = []
    batches, unpacked = unread._records, 0
    while unpacked < room and batches.has_next():
        batch = batches.next_batch()
        if unread._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {unread._tp}")
        if not _is_aborted(unread, batch) and not batch.is_control_batch:
            # A batch begins before the position after a seek into its middle.
            position, is_packed = unread.next_fetch_offset, batch.compression_type != batch.CODEC_NONE
            records = [record for record in batch if record.offset >= position]
            unpacked += sum(map(_size, records)) if is_packed else 0
            found += records
        unread.next_fetch_offset = batch.next_offset
    return found, unpacked


def _size(record: InputRecord) -> int:
    """Bytes, about."""
    headers = sum(len(value or b"") for _, value in record.headers)
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def _is_aborted(unread: PartitionRecords, batch: Any) -> bool:
    if unread._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    unread._consume_aborted_up_to(batch.base_offset)
    aborted = unread._aborted_producers
    if batch.is_control_batch and unread._contains_abort_marker(batch):
        aborted.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in aborted)
