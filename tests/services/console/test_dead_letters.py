"""Dead letters read from a real topic: one order over all partitions, whole pages, bounded reading."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from deploy.workspace.broker import connected
from schemas.dead_letter import VALUE_LEFT_OUT, DeadLetterHeaders, Headers
from schemas.topics import Topic, topic_name
from services.console import dead_letter_log
from services.console.log import open_log
from services.runtime.keys import Scope
from services.runtime.topics import ensure_topics
from tests.services.console.evaluators import NOW, PARTITIONS, World

pytestmark = pytest.mark.broker

READABLE_TIMEOUT_S = 30.0
"""A broker of a busy machine may take its time; in idleness it is a millisecond."""


class Letters:
    """Writes dead letters as evaluators do: in transactions, with the broker's clock told by the test."""

    def __init__(self, world: World, producer: AIOKafkaProducer) -> None:
        self.world = world
        self._producer = producer
        self._topic = topic_name(world.settings.topic_prefix, Topic.DEAD_LETTERS)

    async def write(
        self,
        at: int,
        value: bytes | None = b"{}",
        code: str = "bad_json",
        key: bytes | None = b"u",
        partition: int = 0,
        left_out: int | None = None,
        headers: Headers = (("ce_type", b"contact.changed"),),
    ) -> int:
        said = DeadLetterHeaders(
            code=code,
            message=f"no {at}",
            topic="contact-changes",
            partition=partition,
            offset=at,
            value_left_out=left_out,
        )
        async with self._producer.transaction():
            sent = await self._producer.send_and_wait(
                self._topic,
                value,
                key=key,
                partition=partition,
                timestamp_ms=NOW + at,
                headers=said.added_to(headers),
            )
        await self._until_readable(partition, sent.offset)
        return int(sent.offset)

    async def write_many(self, count: int, code: str, partition: int = 0) -> None:
        said = DeadLetterHeaders(code=code, message="", topic="t", partition=partition, offset=1).added_to([])
        async with self._producer.transaction():
            futures = [
                await self._producer.send(
                    self._topic, b"{}", key=b"u", partition=partition, headers=said, timestamp_ms=NOW + at
                )
                for at in range(count)
            ]
            last = (await asyncio.gather(*futures))[-1]
        await self._until_readable(partition, last.offset)

    async def abort(self, partition: int = 0) -> None:
        await self._producer.begin_transaction()
        sent = await self._producer.send_and_wait(self._topic, b"never", key=b"u", partition=partition)
        await self._producer.abort_transaction()
        await self._until_readable(partition, sent.offset)

    async def _until_readable(self, partition: int, offset: int) -> None:
        """Wait for the marker that ends the transaction: the broker says "committed" before each partition has it."""
        patience = AsyncRetrying(stop=stop_after_delay(READABLE_TIMEOUT_S), wait=wait_fixed(0.005), reraise=True)
        async with open_log(self.world.settings, self._topic, PARTITIONS) as log:
            async for attempt in patience:
                with attempt:
                    assert (await log.ends())[partition] > offset, "the transaction has not ended here"

    async def pages(self, **params: Any) -> list[list[dict[str, Any]]]:
        pages, after = [], None
        while True:
            answer = await self.world.get("/dead-letters", **params, **({"after": after} if after else {}))
            assert answer.status_code == 200, answer.text
            pages.append(answer.json()["dead_letters"])
            after = answer.json()["next"]
            if after is None:
                return pages


@pytest.fixture
async def letters(broker: str, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Letters]:
    world = World(tmp_path, kafka=broker, prefix=topic_prefix)
    await ensure_topics(world.settings)
    async with connected(world.settings) as admin:  # the letters are of a fixed day, which the broker would clear away
        await admin.change_settings(topic_name(topic_prefix, Topic.DEAD_LETTERS), {"retention.ms": "-1"})
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, transactional_id=f"{topic_prefix}letters", max_request_size=8 << 20
    )
    await producer.start()
    yield Letters(world, producer)
    await producer.stop()
    await world.close()


async def test_dead_letters_of_all_partitions_come_newest_first_in_whole_pages(letters: Letters) -> None:
    for at in range(23):
        await letters.write(at, partition=at % PARTITIONS)
        if at % 5 == 0:
            await letters.abort(at % PARTITIONS)
    pages = await letters.pages(limit=7)
    assert [len(page) for page in pages] == [7, 7, 7, 2]
    assert [letter["source"]["offset"] for page in pages for letter in page] == list(reversed(range(23)))


async def test_a_page_goes_on_where_it_was_when_newer_letters_arrive_meanwhile(letters: Letters) -> None:
    for at in range(6):
        await letters.write(at, partition=at % PARTITIONS)
    first = (await letters.world.get("/dead-letters", limit=4)).json()
    for at in range(6, 9):
        await letters.write(at, partition=at % PARTITIONS)
    second = (await letters.world.get("/dead-letters", limit=4, after=first["next"])).json()
    assert [letter["message"] for letter in first["dead_letters"]] == ["no 5", "no 4", "no 3", "no 2"]
    assert [letter["message"] for letter in second["dead_letters"]] == ["no 1", "no 0"]
    assert second["next"] is None


async def test_an_empty_topic_is_one_empty_page(letters: Letters) -> None:
    assert await letters.pages() == [[]]


async def test_only_the_letters_of_a_code_are_listed_when_it_is_named(letters: Letters) -> None:
    for at in range(12):
        await letters.write(at, code="bad_json" if at % 3 else "wrong_partition", partition=at % PARTITIONS)
    pages = await letters.pages(code="wrong_partition", limit=3)
    assert [letter["message"] for page in pages for letter in page] == ["no 9", "no 6", "no 3", "no 0"]


async def test_a_rare_code_is_found_by_going_on_through_bounded_pages(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_log, "SCANNED_OFFSETS_MAX", 500)
    await letters.write(1, code="rare")
    await letters.write_many(3_000, "bad_json")
    pages = await letters.pages(code="rare")
    assert len(pages) > 1
    assert [letter["code"] for page in pages for letter in page] == ["rare"]


async def test_a_list_shows_the_beginning_of_a_value_and_the_single_read_all_of_it(letters: Letters) -> None:
    text = "é" * 1_000_000
    offset = await letters.write(1, value=b"x" + text.encode(), partition=1)
    ((listed,),) = await letters.pages()
    assert listed["value"] == "x" + "é" * 2047
    assert (listed["value_is_base64"], listed["value_bytes"], listed["value_is_cut"]) == (False, 2_000_001, True)
    whole = (await letters.world.get(f"/dead-letters/1/{offset}")).json()
    assert whole["value"] == "x" + text
    assert not whole["value_is_cut"]
    assert whole["headers"] == [{"name": "ce_type", "value": "contact.changed", "value_is_base64": False}]


async def test_a_value_that_was_too_large_for_a_dead_letter_is_told_as_cut_and_not_as_absent(letters: Letters) -> None:
    offset = await letters.write(1, value=None, left_out=9_000_000)
    whole = (await letters.world.get(f"/dead-letters/0/{offset}")).json()
    assert (whole["value"], whole["value_bytes"], whole["value_is_cut"]) == (None, 9_000_000, True)


@pytest.mark.parametrize(("said", "told"), [(b"7", 7), (b"9" * 5_000, 0), (b"-1", 0)])
async def test_what_a_producer_says_in_the_place_of_a_number_holds_up_no_list(
    letters: Letters, said: bytes, told: int
) -> None:
    await letters.write(1, value=None, headers=((VALUE_LEFT_OUT, said),))
    await letters.write(2, value=b"{", headers=((VALUE_LEFT_OUT, said),))
    ((broken, empty),) = await letters.pages()
    assert (broken["value_bytes"], empty["value_bytes"]) == (1, told)


async def test_bytes_that_are_no_text_are_told_as_base64(letters: Letters) -> None:
    await letters.write(1, value=b"\xff\x00poison", key=b"\xfe")
    ((listed,),) = await letters.pages()
    assert (listed["value_is_base64"], listed["key_is_base64"]) == (True, True)
    assert b64decode(listed["value"]) == b"\xff\x00poison"
    assert b64decode(listed["key"]) == b"\xfe"


async def test_letters_without_key_or_value_are_listed(letters: Letters) -> None:
    await letters.write(1, value=None)
    await letters.write(2, key=None)
    ((no_key, no_value),) = await letters.pages()
    assert (no_key["key"], no_key["value"]) == (None, "{}")
    assert (no_value["key"], no_value["value"], no_value["value_bytes"]) == ("u", None, 0)


@pytest.mark.parametrize("place", ["0/7", "0/1", f"{PARTITIONS}/0"])
async def test_a_place_without_a_letter_is_a_404(letters: Letters, place: str) -> None:
    await letters.write(1)
    answer = await letters.world.get(f"/dead-letters/{place}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_dead_letters_need_the_scope_admin(letters: Letters) -> None:
    reader = letters.world.keys.create("reader", [Scope.CONTACTS_READ, Scope.SEGMENTS_READ]).token
    for path in ("/dead-letters", "/dead-letters/0/0"):
        answer = await letters.world.get(path, key=reader)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_cursor_of_something_else_is_refused(letters: Letters) -> None:
    answer = await letters.world.get("/dead-letters", after="nonsense!")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")
