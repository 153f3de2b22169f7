"""A process that was frozen for longer than its claim of an import stood, and wakes with rows that it had not sent."""

from __future__ import annotations

import orjson
import pytest

from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from services.ingest.imports.bulk_log import BulkLogError, KafkaBulkLog
from services.ingest.imports.conversion import ConvertedRow
from services.runtime.kafka import client_options
from tests.services.ingest.conftest import PARTITIONS, Running, read_all

pytestmark = pytest.mark.broker


class Import:
    """What two processes know of one import: whose it is, and its rows of one contact."""

    def __init__(self, running: Running) -> None:
        self.settings = running.settings
        self.is_the_firsts = True

    def log_of(self, *, first: bool) -> KafkaBulkLog:
        topic = topic_name(self.settings.topic_prefix, Topic.CONTACT_CHANGES)
        return KafkaBulkLog(client_options(self.settings), topic, PARTITIONS, lambda: not first or self.is_the_firsts)

    @staticmethod
    def row(number: int) -> ConvertedRow:
        value = orjson.dumps({"attributes": {"step": number}})
        return ConvertedRow(number, ContactId("u_1"), {}, b"u_1", value, f"imp:{number}")

    async def steps(self) -> list[int]:
        """What the contact got, in the log's order."""
        records = await read_all(self.settings, Topic.CONTACT_CHANGES)
        return [orjson.loads(record.value)["attributes"]["step"] for record in records]


async def test_rows_that_were_not_sent_before_another_process_went_on_are_never_sent(running: Running) -> None:
    shared = Import(running)
    async with shared.log_of(first=True) as frozen:
        await frozen.append([shared.row(1)])
        async with shared.log_of(first=False) as other:
            await other.append([shared.row(1), shared.row(2)])
            await other.flush()
        shared.is_the_firsts = False
        with pytest.raises(BulkLogError):
            await frozen.flush()
    assert await shared.steps() == [1, 2], "an older row behind a newer one"


async def test_a_process_whose_rows_were_written_says_nothing_of_them_once_another_may_go_on(running: Running) -> None:
    shared = Import(running)
    async with shared.log_of(first=True) as frozen:
        await frozen.append([shared.row(1)])
        await frozen.flush()
        shared.is_the_firsts = False
        with pytest.raises(BulkLogError, match="another process"):
            await frozen.flush()
    assert await shared.steps() == [1]
