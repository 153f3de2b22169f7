"""A row of a changelog that somebody else wrote ends a start with what to do, unless a later one made good for it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from schemas.control_rows import CLOCK_KEY, CURSOR_KEY, definition_key
from schemas.topics import Topic
from segmentation.model import InstantMs, SegmentId
from services.evaluator import recovery as recovery_module
from services.evaluator import rows
from services.evaluator import senseless as senseless_module
from services.evaluator.partition import Partition
from services.evaluator.ports import Bounds, OutputRecord, TopicPart
from services.evaluator.recovery import Recovery, read_marks, recover
from services.evaluator.restored import restore
from services.evaluator.store import RocksStore
from services.evaluator.unmarked import Fenced, settle
from services.runtime.errors import StartRefusedError
from tests.services.evaluator.changelogs import AllDecided, RecordedChangelogs
from tests.services.evaluator.inputs import NOW, definition, write

CONTACTS, CONTROL = Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG
NEW, KNOWN = b"ghost", b"ann"
ROW = b'{"attributes":{},"members":%s,"left":[],"clock":1,"offset":1,"seq":0,"due":%s}'


class Changelogs(RecordedChangelogs):
    """Those of two contacts in a segment, and what somebody else writes into them."""

    def __init__(self, store: RocksStore) -> None:
        super().__init__()
        partition = Partition(0, 1, "contact-changes", store, restore(store))
        partition.consume([definition(0, [{"plan": "pro"}], "pros"), write(1, "ann", plan="pro"), write(2, "bob")])
        partition.backfill(100)
        partition.take_unsent()
        partition.committed(self.append(dict(zip((CONTACTS, CONTROL), partition.seal(), strict=True))), InstantMs(NOW))

    def kept(self, topic: Topic, key: bytes) -> bytes:
        """The row of a key."""
        return next(record.value or b"" for record in self._records[topic] if record.key == key)

    def put(self, topic: Topic, key: bytes, value: bytes | None) -> int:
        """Write a record; its offset."""
        return self.append({topic: [OutputRecord(key, value)]})[topic] - 1


async def refusal(store: RocksStore, changelogs: RecordedChangelogs) -> str:
    with pytest.raises(StartRefusedError) as refused:
        await recover([Recovery(0, store, AllDecided())], changelogs)
    return str(refused.value)


@pytest.mark.parametrize("key", [NEW, KNOWN])
@pytest.mark.parametrize(
    "value",
    [
        b"\xff\x00",
        b"7",
        b"{}",
        b'["attributes"]',
        ROW % (b"[]", b"null"),
        ROW % (b'{"pros":"x"}', b"null"),
        ROW % (b"{}", b'"x"'),
        ROW % (b"{}", b"9" * 30),
        b'{"attributes":[],"members":{},"left":[],"clock":1,"offset":1,"seq":0,"due":null}',
        b'{"x":1,"members":{},"left":[],"clock":1,"offset":1,"seq":0,"due":null}',
        b'{"attributes":{},"members":{},"due":null}',
        b'{"attributes":{},"members":{},"left":null,"clock":1,"offset":1,"seq":0,"due":null}',
        b'{"attributes":{},"members":{},"left":[],"clock":"x","offset":1,"seq":0,"due":null}',
        b'{"attributes":{},"members":{},"left":[],"clock":1,"offset":1.5,"seq":0,"due":null}',
        b'{"attributes":{},"members":{},"left":[],"clock":1,"offset":1,"seq":null,"due":null}',
    ],
)
@pytest.mark.parametrize("is_wiped", [True, False])
async def test_a_contacts_row_without_sense_is_refused_by_name_at_each_start(
    open_store: Callable[[str], RocksStore], key: bytes, value: bytes, is_wiped: bool
) -> None:
    kept = open_store("kept")
    changelogs = Changelogs(kept)
    offset = changelogs.put(CONTACTS, key, value)
    store = open_store("wiped") if is_wiped else kept
    for _ in range(2):
        told = await refusal(store, changelogs)
        assert told.startswith(f"contacts-changelog holds a record without sense for contact {key.decode()!r} (")
        assert "which somebody else wrote: append to this partition the row that this contact had" in told
        assert told.endswith(f"(topic contacts-changelog, partition 0, offset {offset})")


@pytest.mark.parametrize("key", [CLOCK_KEY, CURSOR_KEY, definition_key(SegmentId("pros"), 1)])
@pytest.mark.parametrize("value", [b"{", b"{}", b"[]"])
async def test_a_control_row_without_sense_is_refused_by_name_at_each_start(
    open_store: Callable[[str], RocksStore], key: bytes, value: bytes
) -> None:
    changelogs = Changelogs(open_store("kept"))
    offset = changelogs.put(CONTROL, key, value)
    store = open_store("wiped")
    for _ in range(2):
        told = await refusal(store, changelogs)
        assert told.startswith(f"control-changelog holds a record without sense for key {key.decode()!r} (")
        assert told.endswith(f"(topic control-changelog, partition 0, offset {offset})")


def derived(store: RocksStore) -> list[tuple[bytes, bytes]]:
    """Contacts and who is in which segment."""
    contacts = store.scan(rows.CONTACTS_START, rows.CONTACTS_END, 100)
    return contacts + store.scan(rows.LISTINGS_START, rows.LISTINGS_END, 100)


@pytest.mark.parametrize("records_at_once", [1, 5_000])
@pytest.mark.parametrize("is_wiped", [True, False])
async def test_what_a_later_record_made_good_for_is_passed_by(
    open_store: Callable[[str], RocksStore],
    monkeypatch: pytest.MonkeyPatch,
    records_at_once: int,
    is_wiped: bool,
) -> None:
    monkeypatch.setattr(recovery_module, "APPLY_RECORDS_MAX", records_at_once)
    kept = open_store("kept")
    changelogs = Changelogs(kept)
    expected = derived(kept)
    store = open_store("wiped") if is_wiped else kept
    for key in (NEW, b"\xff", KNOWN):
        changelogs.put(CONTACTS, key, b"{")
    changelogs.put(CONTROL, CLOCK_KEY, b"{")
    await refusal(store, changelogs)
    changelogs.put(CONTACTS, NEW, None)
    changelogs.put(CONTACTS, b"\xff", None)
    changelogs.put(CONTACTS, KNOWN, changelogs.kept(CONTACTS, KNOWN))
    changelogs.put(CONTROL, CLOCK_KEY, changelogs.kept(CONTROL, CLOCK_KEY))
    restored = (await recover([Recovery(0, store, AllDecided())], changelogs))[0]
    assert (restored.marks.contacts, restored.counts[SegmentId("pros")].members, restored.marks.input) == (2, 1, 3)
    assert derived(store) == expected
    assert read_marks(store).contacts_changelog == (await changelogs.bounds(CONTACTS, 0)).end


async def test_of_very_many_rows_without_sense_no_more_are_remembered(
    open_store: Callable[[str], RocksStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senseless_module, "SENSELESS_MAX", 2)
    changelogs = Changelogs(open_store("kept"))
    for number in range(5):
        changelogs.put(CONTACTS, b"ghost%d" % number, b"{")
    assert "for contact 'ghost2' (" in await refusal(open_store("wiped"), changelogs)


class OneUndecided(Changelogs):
    """A transaction of which the outcome is unknown stands behind the control changelog."""

    async def ends(self, wanted: Collection[TopicPart]) -> dict[TopicPart, Bounds]:
        ends = {at: (await self.bounds(*at)).end for at in wanted}
        return {(topic, 0): Bounds(end, end + (topic is CONTROL)) for (topic, _), end in ends.items()}


async def test_a_clock_without_sense_is_refused_where_a_transaction_is_to_be_decided_by_it(
    open_store: Callable[[str], RocksStore],
) -> None:
    changelogs = OneUndecided(open_store("kept"))
    changelogs.put(CONTROL, CLOCK_KEY, b"{}")
    with pytest.raises(StartRefusedError, match="control-changelog holds a record without sense for key 'clock'"):
        await settle({0: Fenced(AllDecided(), 0, None)}, changelogs)
