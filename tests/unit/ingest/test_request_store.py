"""The table of requests after a power cut: what is damaged is read anew, and what is only in the way is not."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from schemas.request_record import RequestRecord, RequestState
from services.ingest.request_store import RequestStore, Step
from services.runtime.errors import ServiceError

PAGE_BYTES = 4_096


def filled(path: Path) -> None:
    store = RequestStore(path, "requests")
    record = RequestRecord(state=RequestState.CLAIMED, claim="c", fingerprint="f" * 64)
    store.fold([Step(f"{number:064d}", 1_000, record) for number in range(500)], 500)
    store.close()


@pytest.mark.parametrize("begins_at", [0, 3 * PAGE_BYTES], ids=["from its beginning", "in the middle"])
def test_a_damaged_table_is_begun_anew(tmp_path: Path, begins_at: int) -> None:
    path = tmp_path / "requests.sqlite"
    filled(path)
    with path.open("r+b") as file:
        file.seek(begins_at)
        file.write(b"\xff" * PAGE_BYTES)
    store = RequestStore(path, "requests")
    assert (store.position, store.get(f"{1:064d}")) == (0, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.close()
    filled(path)
    again = RequestStore(path, "requests")
    assert again.position == 500
    again.close()


def test_a_table_that_others_could_read_is_the_owners_alone_once_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    filled(path)
    path.chmod(0o644)
    RequestStore(path, "requests").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_table_that_cannot_be_opened_now_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ServiceError, match="locked"):
        RequestStore(path, "requests")
    other.close()
    store = RequestStore(path, "requests")
    assert store.position == 500
    store.close()
