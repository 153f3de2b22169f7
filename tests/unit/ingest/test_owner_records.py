"""Owners are learned from status records, whatever else is among them."""

from __future__ import annotations

from schemas.evaluator_status import PartitionState, PartitionStatusRecord
from segmentation.model import InstantMs
from services.ingest.owner_records import learn_owner


def status(owner: str, state: PartitionState = PartitionState.READY) -> bytes:
    return PartitionStatusRecord(partition=3, owner=owner, state=state, reported_at=InstantMs(1)).encode()


def test_an_owner_is_known_by_an_address_that_a_path_can_follow() -> None:
    owners: dict[int, str] = {}
    assert learn_owner(owners, status("http://evaluator-1:8082/"))
    assert owners == {3: "http://evaluator-1:8082"}


def test_an_owner_that_stopped_is_nobodys_address() -> None:
    owners = {3: "http://evaluator-1:8082", 4: "http://evaluator-2:8082"}
    assert not learn_owner(owners, status("http://evaluator-1:8082", PartitionState.STOPPED))
    assert owners == {4: "http://evaluator-2:8082"}


def test_what_cannot_be_read_changes_nothing() -> None:
    owners = {3: "http://evaluator-1:8082"}
    assert not any(learn_owner(owners, value) for value in (None, b"{", b"[]", b'{"partition": "x"}'))
    assert owners == {3: "http://evaluator-1:8082"}
