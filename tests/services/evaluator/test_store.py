"""The RocksDB store: atomic, ordered, and never in the way of a start when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from rocksdict import Rdict

from segmentation.model import InstantMs
from services.evaluator import rows
from services.evaluator.ports import StoreError, StoreUnavailableError
from services.evaluator.quarantine import OUTDATED_AFTER_MS, open_store
from services.evaluator.store import RocksStore, StoreMemory, corruption_mark, remove_store

NOW = InstantMs(1_790_000_000_000)


@pytest.fixture
def memory() -> StoreMemory:
    return StoreMemory(8 << 20)


def filled(path: Path, memory: StoreMemory, many: int = 1_000) -> RocksStore:
    store = RocksStore(path, memory)
    store.write({b"c%04d" % number: b"row %d" % number for number in range(many)})
    store.write({rows.MARKS_KEY: rows.EMPTY._replace(contacts=many, written=NOW).encode()})
    return store


def test_a_scan_gives_rows_in_key_order_within_its_bounds_and_limit(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory)
    found = store.scan(b"c0010", b"c0020", 100)
    assert [key for key, _ in found] == [b"c%04d" % number for number in range(10, 20)]
    assert len(store.scan(b"c", b"d", 7)) == 7
    store.close()


def test_values_come_in_the_order_of_the_keys_with_none_for_absent_ones(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory)
    assert store.get_many([b"c0002", b"absent", b"c0001"]) == [b"row 2", None, b"row 1"]
    assert store.get_many([]) == []
    store.close()


def test_a_closed_store_refuses_and_closes_twice(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.get_many([b"c0001"])


def test_a_store_that_is_closed_while_it_is_compacted_can_be_opened_at_once_and_is_not_said_to_be_compacted(
    tmp_path: Path, memory: StoreMemory
) -> None:
    store = RocksStore(tmp_path / "s", memory)
    # What cannot be compressed, so that rewriting it takes its time.
    store.write({b"c%06d" % number: os.urandom(400) for number in range(100_000)})
    db = store._db
    assert db is not None
    with ThreadPoolExecutor(1) as beside:
        compacting = beside.submit(store.compact)
        while db.property_value("rocksdb.num-running-compactions") == "0" and not compacting.done():
            pass
        store.close()
        again = RocksStore(tmp_path / "s", memory)
        with pytest.raises(StoreError, match="closed"):
            compacting.result()
    assert len(again.scan(b"c", b"d", 200_000)) == 100_000
    again.compact()
    again.close()
    with pytest.raises(StoreError, match="closed"):
        again.compact()


def test_a_checkpoint_is_a_store_of_its_own(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory)
    store.checkpoint(tmp_path / "copy")
    store.write({b"c0001": None})
    copy = RocksStore(tmp_path / "copy", memory)
    assert copy.get_many([b"c0001"]) == [b"row 1"]
    assert store.get_many([b"c0001"]) == [None]
    copy.close()
    store.close()


def test_a_second_process_cannot_open_the_same_store(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory)
    with pytest.raises(StoreError, match="cannot open"):
        RocksStore(tmp_path / "s", memory)
    store.close()


def test_an_intact_store_is_reused(tmp_path: Path, memory: StoreMemory) -> None:
    filled(tmp_path / "s", memory).close()
    opened = open_store(tmp_path / "s", memory, NOW)
    assert opened.quarantined is None
    assert opened.store.get_many([b"c0001"]) == [b"row 1"]
    opened.store.close()


def test_a_store_that_may_have_missed_tombstones_is_deleted_and_an_empty_one_begun(
    tmp_path: Path, memory: StoreMemory
) -> None:
    path = tmp_path / "s"
    filled(path, memory).close()
    kept = open_store(path, memory, InstantMs(NOW + OUTDATED_AFTER_MS))
    assert not kept.outdated
    kept.store.close()
    opened = open_store(path, memory, InstantMs(NOW + OUTDATED_AFTER_MS + 1))
    assert opened.outdated
    assert opened.quarantined is None
    assert opened.store.scan(rows.CONTACTS_START, rows.CONTACTS_END, 10) == []
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
    opened.store.close()


def break_manifest(path: Path) -> None:
    next(path.glob("MANIFEST-*")).unlink()


def truncate_table(path: Path) -> None:
    table = next(path.glob("*.sst"))
    table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])


def forget_marks(path: Path) -> None:
    corruption_mark(path).touch()


@pytest.mark.parametrize("damage", [break_manifest, truncate_table, forget_marks])
def test_a_broken_store_is_set_aside_and_an_empty_one_begun(
    tmp_path: Path, memory: StoreMemory, damage: object
) -> None:
    path = tmp_path / "s"
    store = filled(path, memory)
    store.flush()
    store.close()
    assert callable(damage)
    damage(path)
    opened = open_store(path, memory, NOW)
    assert opened.quarantined == tmp_path / "s.broken-1"
    assert opened.quarantined.is_dir()
    assert opened.store.scan(rows.CONTACTS_START, rows.CONTACTS_END, 10) == []
    opened.store.close()


def flip_a_bit(path: Path, memory: StoreMemory) -> None:
    """Make a store of which a table is damaged in the middle."""
    store = filled(path, memory, many=50_000)
    store.flush()
    store.close()
    table = next(path.glob("*.sst"))
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 0xFF
    table.write_bytes(content)


def test_a_bit_flip_is_told_as_such_even_where_it_cannot_be_remembered(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "state" / "s"
    flip_a_bit(path, memory)
    opened = open_store(path, memory, NOW)
    shutil.rmtree(path.parent)
    with pytest.raises(StoreError, match="Corruption"):
        opened.store.scan(b"c", b"d", 100_000)


def test_a_bit_flip_found_by_a_read_is_remembered_for_the_next_start(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "s"
    flip_a_bit(path, memory)
    opened = open_store(path, memory, NOW)
    with pytest.raises(StoreError, match="Corruption"):
        opened.store.scan(b"c", b"d", 100_000)
    opened.store.close()
    again = open_store(path, memory, NOW)
    assert again.quarantined is not None
    again.store.close()


def test_a_compaction_that_fails_is_not_said_to_be_done(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "s"
    flip_a_bit(path, memory)
    store = RocksStore(path, memory)
    with pytest.raises(StoreError, match=r"cannot compact the local state in .*: Corruption"):
        store.compact()
    assert corruption_mark(path).exists()
    with suppress(StoreError):  # the database takes nothing any more
        store.close()


def test_a_compaction_that_leaves_a_table_as_it_was_is_not_said_to_be_done(
    tmp_path: Path, memory: StoreMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "s", memory)
    monkeypatch.setattr(Rdict, "compact_range", lambda *_: None)
    with pytest.raises(StoreError, match="tables stand as they were"):
        store.compact()
    monkeypatch.undo()
    store.compact()
    store.close()


HOLD = """
import sys
from pathlib import Path
from services.evaluator.store import RocksStore, StoreMemory
store = RocksStore(Path(sys.argv[1]), StoreMemory(8 << 20))
print("held", flush=True)
sys.stdin.read()
store.close()
"""
OPEN_WITH_FEW_FILES = """
import os, resource, sys
from pathlib import Path
from segmentation.model import InstantMs
from services.evaluator.ports import StoreUnavailableError
from services.evaluator.quarantine import open_store
from services.evaluator.store import StoreMemory
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4,) * 2)
try:
    open_store(Path(sys.argv[1]), StoreMemory(8 << 20), InstantMs(int(sys.argv[2])))
except StoreUnavailableError as error:
    print(error)
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def is_whole(path: Path, memory: StoreMemory) -> bool:
    opened = open_store(path, memory, NOW)
    rows_there = len(opened.store.scan(b"c", b"d", 10_000))
    opened.store.close()
    return opened.quarantined is None and rows_there == 1_000


def test_a_store_that_another_process_holds_stays_where_it_is(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "s"
    filled(path, memory).close()
    with python(HOLD, str(path)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreUnavailableError, match="lock"):
            open_store(path, memory, NOW)
        holder.communicate()
    assert is_whole(path, memory)


def test_a_store_that_this_process_did_not_close_stays_where_it_is(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "s"
    store = filled(path, memory)
    with pytest.raises(StoreUnavailableError, match="lock"):
        open_store(path, memory, NOW)
    store.close()
    assert is_whole(path, memory)


def test_a_store_is_removed_whatever_it_holds_and_only_if_nobody_has_it_open(
    tmp_path: Path, memory: StoreMemory
) -> None:
    path = tmp_path / "0"
    store = RocksStore(path, memory)
    store.write({b"k": b"v"})
    assert not remove_store(path)
    assert store.get_many([b"k"]) == [b"v"]
    store.close()
    corruption_mark(path).touch()
    (path / "of-somebody-else").touch()
    assert remove_store(path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_stays_where_it_is_when_no_more_files_may_be_open(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "s"
    store = filled(path, memory)
    store.flush()
    store.close()
    said, _ = python(OPEN_WITH_FEW_FILES, str(path), str(NOW)).communicate()
    assert "Too many open files" in said
    assert is_whole(path, memory)


def test_a_mark_of_damage_whose_store_is_gone_is_removed_and_an_empty_store_begun(
    tmp_path: Path, memory: StoreMemory
) -> None:
    path = tmp_path / "s"
    corruption_mark(path).touch()
    opened = open_store(path, memory, NOW)
    assert (opened.quarantined, opened.outdated) == (None, False)
    assert opened.store.scan(b"c", b"d", 10) == []
    opened.store.close()
    assert not corruption_mark(path).exists()


def test_a_place_where_no_store_can_be_begun_is_told_in_the_stores_own_words(
    tmp_path: Path, memory: StoreMemory
) -> None:
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(StoreError, match=r"cannot open the local state in .*/file/s"):
        open_store(place / "s", memory, NOW)


@pytest.mark.parametrize("trouble", ["No space left on device", "Permission denied", "Read-only file system"])
def test_trouble_of_the_machine_is_not_damage(tmp_path: Path, memory: StoreMemory, trouble: str) -> None:
    store = filled(tmp_path / "s", memory)
    assert isinstance(store._failed("read", OSError(f"IO error: {trouble}: While open a file")), StoreUnavailableError)
    store.close()


def test_a_store_of_another_format_is_rebuilt(tmp_path: Path, memory: StoreMemory) -> None:
    store = RocksStore(tmp_path / "s", memory)
    store.write({rows.MARKS_KEY: b"[999,0]"})
    store.close()
    opened = open_store(tmp_path / "s", memory, NOW)
    assert opened.quarantined is not None
    opened.store.close()


def test_a_store_that_is_opened_again_takes_its_blocks_from_the_shared_memory(tmp_path: Path) -> None:
    filled(tmp_path / "s", StoreMemory(8 << 20), many=20_000).close()
    shared = StoreMemory(64 << 20)
    store = RocksStore(tmp_path / "s", shared)
    before = shared.held_bytes
    rows_bytes = sum(len(key) + len(value) for key, value in store.scan(b"c", b"d", 20_000))
    assert shared.held_bytes - before >= rows_bytes
    store.close()


def test_what_open_files_hold_to_be_searched_counts_against_the_limit(tmp_path: Path, memory: StoreMemory) -> None:
    store = filled(tmp_path / "s", memory, many=400_000)
    store.compact()
    store.close()
    # The cache is in parts: in one of a smaller cache the filter and a step of 256 KiB have no room beside each other.
    fresh = StoreMemory(64 << 20)
    store = RocksStore(tmp_path / "s", fresh)
    assert store.get_many([b"c0000x"]) == [None]  # its filter says so: no block of rows is read
    filter_bytes = 400_000 * 10 // 8  # more than the steps of 256 KiB in which write buffers are counted
    assert fresh.held_bytes >= filter_bytes
    store.close()
