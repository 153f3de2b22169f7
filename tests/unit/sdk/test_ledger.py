"""Ledgers admit a change once, by its version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentation.model import CauseKind, ContactId, InstantMs, Offset, SegmentId
from tidegate.changes import MembershipChange
from tidegate.ledger import Ledger, MemoryLedger, SqliteLedger


def change(at: int, offset: int, contact: str = "u") -> MembershipChange:
    return MembershipChange(
        segment_id=SegmentId("a"),
        segment_version=1,
        contact_id=ContactId(contact),
        member=True,
        at_ms=InstantMs(at),
        offset=Offset(offset),
        cause=CauseKind.WRITE,
        index=0,
        count=1,
        event_id=f"a|{contact}|{at}|{offset}",
        partition=0,
    )


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made: Ledger = MemoryLedger() if request.param == "memory" else SqliteLedger(tmp_path / "ledger.db")
    yield made
    made.close()


def test_a_recorded_change_is_not_admitted_again(ledger: Ledger) -> None:
    assert ledger.admits(change(5, 1))
    ledger.record([change(5, 1)])
    assert not ledger.admits(change(5, 1))


def test_an_older_change_is_not_admitted(ledger: Ledger) -> None:
    ledger.record([change(5, 1)])
    assert not ledger.admits(change(5, -1))
    assert not ledger.admits(change(4, 9))


def test_a_newer_change_and_another_contact_are_admitted(ledger: Ledger) -> None:
    ledger.record([change(5, 1)])
    assert ledger.admits(change(5, 2))
    assert ledger.admits(change(6, -1))
    assert ledger.admits(change(1, 0, contact="v"))


def test_a_ledger_on_disk_remembers_after_a_restart(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "ledger.db")
    first.record([change(5, 1)])
    first.close()
    second = SqliteLedger(tmp_path / "ledger.db")
    assert not second.admits(change(5, 1))
    assert second.admits(change(6, 0))
    second.close()


def test_a_ledger_in_memory_is_bounded_and_forgets_the_oldest() -> None:
    ledger = MemoryLedger(keys_max=2)
    ledger.record([change(1, 0, contact) for contact in ("u", "v", "w")])
    assert ledger.admits(change(1, 0, "u"))
    assert not ledger.admits(change(1, 0, "w"))
