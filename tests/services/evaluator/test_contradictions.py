"""Rows of the changelogs that can each be read and cannot all be true end a start by the name of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.control_rows import CLOCK_KEY, CURSOR_KEY, definition_key
from schemas.topics import Topic
from segmentation.definitions import DefinitionLog
from segmentation.model import InstantMs, SegmentId
from services.evaluator.contradictions import check_members
from services.evaluator.recovery import Recovery, recover
from services.evaluator.restored import RestoredPartition
from services.evaluator.rows import EMPTY, Count
from services.evaluator.store import RocksStore, StoreMemory
from services.evaluator.unreadable import UnreadableValues
from tests.services.evaluator.changelogs import AllDecided
from tests.services.evaluator.inputs import NOW
from tests.services.evaluator.test_senseless import CONTACTS, CONTROL, Changelogs, refusal

PROS = SegmentId("pros")
HUGE = 1 << 63


def row(segment_id: str = "pros", version: int = 1, where: object = None, **placed: int) -> bytes:
    """The row of a definition, right behind the one that there is."""
    definition = {
        "segment_id": segment_id,
        "version": version,
        "replaces": version - 1,
        "name": segment_id,
        "where": where or {"plan": {"is": "pro"}},
        "text": "",
    }
    return json.dumps({"seq": 2, "clock": NOW, "offset": 0, **placed, "definition": definition}).encode()


def told_of(topic: Topic, key: bytes) -> str:
    whose = "contact" if topic is CONTACTS else "key"
    return f"{topic} holds a record without sense for {whose} {key.decode()!r} ("


NEXT = definition_key(PROS, 2)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (NEXT, row(version=2, where={"plan": {"resembles": "pro"}}), "segment pros version 2: "),
        (NEXT, row(version=3), "it is of segment pros version 3"),
        (NEXT, row("others", version=2), "it is of segment others version 2"),
        (NEXT, row(version=2, seq=1), "it is definition 1, behind definition 1"),
        (NEXT, row(version=2, seq=3), "it is definition 3, behind definition 1"),
        (NEXT, row(version=2, offset=3), f"it took effect at offset 3 and {NOW} ms, but the key 'clock' says that"),
        (NEXT, row(version=2, clock=NOW + 1), f"it took effect at offset 0 and {NOW + 1} ms, but the key 'clock'"),
        (CURSOR_KEY, {"passed": 2}, "it tells of definition 2, but there are 1"),
        (CURSOR_KEY, {"passed": 1, "target": 2, "after": "ann"}, "it tells of definition 2, but there are 1"),
        (CURSOR_KEY, {"passed": 1, "target": 1, "after": "ann"}, "it has passed definition 1 and is on its way to 1"),
        (CLOCK_KEY, {"clock": HUGE, "offset": 3}, "int too big to convert"),
        (CLOCK_KEY, {"clock": NOW, "offset": -1}, "the next record to read cannot be that at -1"),
    ],
)
async def test_a_control_row_that_cannot_be_beside_the_others_is_refused_until_another_comes(
    open_store: Callable[[str], RocksStore], key: bytes, value: Any, why: str
) -> None:
    kept, wiped = open_store("kept"), open_store("wiped")
    changelogs = Changelogs(kept)
    before = None if key == NEXT else changelogs.kept(CONTROL, key)
    changelogs.put(CONTROL, key, value if isinstance(value, bytes) else json.dumps(value).encode())
    for store in (kept, wiped, wiped):
        told = await refusal(store, changelogs)
        assert told.startswith(told_of(CONTROL, key) + why)
        assert "(topic control-changelog, partition 0" in told
    changelogs.put(CONTROL, key, before)
    for store in (kept, wiped):
        restored = (await recover([Recovery(0, store, AllDecided())], changelogs))[0]
        assert (restored.definitions.seq, restored.definitions.passed, restored.marks.input) == (1, 1, 3)


async def test_a_definition_that_is_gone_from_between_others_is_missed(open_store: Callable[[str], RocksStore]) -> None:
    kept = open_store("kept")
    changelogs = Changelogs(kept)
    changelogs.put(CONTROL, NEXT, row(version=2))
    changelogs.put(CONTROL, definition_key(PROS, 3), row(version=3, seq=3))
    assert (await recover([Recovery(0, kept, AllDecided())], changelogs))[0].definitions.seq == 3
    changelogs.put(CONTROL, NEXT, None)
    told = await refusal(kept, changelogs)
    assert told.startswith(told_of(CONTROL, definition_key(PROS, 3)) + "it is definition 3, behind definition 1)")


@pytest.mark.parametrize("key", [b"ann", b"ghost"])
@pytest.mark.parametrize("is_wiped", [True, False])
async def test_a_member_of_a_segment_that_there_is_not_is_refused_until_another_row_comes(
    open_store: Callable[[str], RocksStore], key: bytes, is_wiped: bool
) -> None:
    kept = open_store("kept")
    changelogs = Changelogs(kept)
    before = changelogs.kept(CONTACTS, b"ann") if key == b"ann" else None
    changelogs.put(
        CONTACTS,
        key,
        b'{"attributes":{},"members":{"nowhere":1},"left":[],"clock":1,"offset":1,"seq":1,"due":null,"born":1}',
    )
    if key == b"ghost":
        # As many contacts as the last commit left.
        changelogs.put(CONTACTS, b"bob", None)
    store = open_store("wiped") if is_wiped else kept
    for _ in range(2):
        told = await refusal(store, changelogs)
        assert told.startswith(told_of(CONTACTS, key) + "it is in segment nowhere, which is not defined)")
    changelogs.put(CONTACTS, key, before)
    if key == b"ghost":
        changelogs.put(CONTACTS, b"bob", changelogs.kept(CONTACTS, b"bob"))
    restored = (await recover([Recovery(0, store, AllDecided())], changelogs))[0]
    assert restored.counts[PROS].members == 1


@pytest.mark.parametrize(
    ("clock", "offset", "seq"), [(NOW, 3, 1), (NOW + 1, 2, 1), (NOW, 2, 2)], ids=["offset", "clock", "definition"]
)
@pytest.mark.parametrize("is_wiped", [True, False])
async def test_a_contact_that_is_ahead_of_its_partition_is_refused_until_another_row_comes(
    open_store: Callable[[str], RocksStore], clock: int, offset: int, seq: int, is_wiped: bool
) -> None:
    kept = open_store("kept")
    changelogs = Changelogs(kept)
    store = open_store("wiped") if is_wiped else kept
    row = b'{"attributes":{"plan":"pro"},"members":{"pros":1},"left":[],"clock":%d,"offset":%d,"seq":%d,"due":null}'
    changelogs.put(CONTACTS, b"ann", row % (NOW, 2, 1))
    await recover([Recovery(0, store, AllDecided())], changelogs)
    changelogs.put(CONTACTS, b"ann", row % (clock, offset, seq))
    for _ in range(3):
        told = await refusal(store, changelogs)
        why = f"it has been evaluated through offset {offset}, {clock} ms and definition {seq}, but its partition is at"
        assert told.startswith(told_of(CONTACTS, b"ann") + f"{why} offset 3, {NOW} ms and definition 1)")
        changelogs.put(CONTACTS, b"bob", changelogs.kept(CONTACTS, b"bob"))
    changelogs.put(CONTACTS, b"ann", changelogs.kept(CONTACTS, b"ann"))
    restored = (await recover([Recovery(0, store, AllDecided())], changelogs))[0]
    assert restored.counts[PROS].members == 1


class NoScans(RocksStore):
    """Nothing is looked up in it."""

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        raise AssertionError(f"looked for {start!r}")


async def test_nothing_is_looked_up_of_a_segment_that_everybody_has_left(tmp_path: Path) -> None:
    store = NoScans(tmp_path / "store", StoreMemory(8 << 20))
    counts = {PROS: Count(members=0, changes=7)}
    restored = RestoredPartition(EMPTY, InstantMs(0), DefinitionLog(), 0, counts, UnreadableValues(), set())
    check_members(0, store, restored)
    store.close()
