"""The simulated broker keeps Kafka's rules, or nothing that is proved on it means anything."""

from __future__ import annotations

import pytest

from schemas.topics import Topic
from services.evaluator.ports import FencedError, OutputRecord
from tests.simulation.broker import SimulatedBroker, forget_nothing

OUT = (Topic.MEMBERSHIPS, 0)


def record(key: str, value: str | None) -> OutputRecord:
    return OutputRecord(key.encode(), None if value is None else value.encode())


def committed(broker: SimulatedBroker) -> list[tuple[bytes | None, bytes | None]]:
    return [(each.key, each.value) for each in broker.log(*OUT).committed(0)]


def test_records_of_an_open_transaction_are_invisible_to_readers_of_committed_records() -> None:
    broker = SimulatedBroker()
    epoch = broker.take_over("p0")
    broker.append("p0", epoch, OUT, [record("a", "1")], 0)
    broker.produce(*OUT, record("b", "2"), 0)
    assert committed(broker) == []
    broker.commit("p0", epoch, 0, 7)
    assert committed(broker) == [(b"a", b"1"), (b"b", b"2")]
    assert broker.positions == {0: 7}


def test_a_new_owner_aborts_and_fences_the_former_one() -> None:
    broker = SimulatedBroker()
    old = broker.take_over("p0")
    broker.append("p0", old, OUT, [record("a", "1")], 0)
    broker.take_over("p0")
    assert committed(broker) == []
    with pytest.raises(FencedError):
        broker.append("p0", old, OUT, [record("a", "2")], 0)
    with pytest.raises(FencedError):
        broker.commit("p0", old, 0, 7)
    assert broker.positions == {}


def test_an_expired_transaction_is_aborted_and_its_owner_fenced() -> None:
    broker = SimulatedBroker()
    epoch = broker.take_over("p0")
    broker.append("p0", epoch, OUT, [record("a", "1")], 0)
    broker.expire("p0")
    assert not broker.is_open("p0")
    with pytest.raises(FencedError):
        broker.commit("p0", epoch, 0, 7)


def test_a_marker_takes_an_offset() -> None:
    broker = SimulatedBroker()
    epoch = broker.take_over("p0")
    assert broker.append("p0", epoch, OUT, [record("a", "1")], 0) == 1
    broker.commit("p0", epoch, 0, 7)
    assert broker.append("p0", epoch, OUT, [record("a", "2")], 0) == 3


def test_compaction_keeps_the_newest_of_each_key_and_leaves_holes() -> None:
    broker = SimulatedBroker()
    for key, value in [("a", "1"), ("b", "1"), ("a", "2"), ("b", None), ("a", "3")]:
        broker.produce(*OUT, record(key, value), 0)
    log = broker.log(*OUT)
    log.compact(4, tombstones_before=0)
    assert [(each.offset, each.value) for each in log.records] == [(2, b"2"), (3, None), (4, b"3")]
    log.compact(4, tombstones_before=1)
    assert [each.offset for each in log.records] == [2, 4]
    assert log.end == 5


def test_records_of_a_transaction_whose_marker_was_forgotten_wait_for_the_next_marker_whatever_it_says() -> None:
    for outcome in ("commit", "abort"):
        broker = SimulatedBroker()
        old = broker.take_over("p0")
        broker.forgets = lambda partitions: partitions
        broker.append("p0", old, OUT, [record("a", "1")], 0)
        assert broker.commit("p0", old, 0, 7)
        broker.produce(*OUT, record("b", "1"), 0)
        assert committed(broker) == []
        assert broker.positions == {}
        broker.forgets = forget_nothing
        new = broker.take_over("p0")
        assert committed(broker) == []
        broker.name("p0", new, [OUT])
        if outcome == "commit":
            broker.commit("p0", new, 0, None)
        else:
            broker.abort("p0", new)
        assert committed(broker) == ([(b"a", b"1")] if outcome == "commit" else []) + [(b"b", b"1")]


def test_a_commit_that_is_marked_in_some_partitions_only_says_so() -> None:
    broker = SimulatedBroker()
    epoch = broker.take_over("p0")
    broker.forgets = lambda _: [OUT]
    broker.append("p0", epoch, OUT, [record("a", "1")], 0)
    broker.append("p0", epoch, (Topic.CONTROL_CHANGELOG, 0), [record("clock", "1")], 0)
    assert not broker.commit("p0", epoch, 0, 7)
    assert committed(broker) == []
    assert [each.value for each in broker.log(Topic.CONTROL_CHANGELOG, 0).committed(0)] == [b"1"]
    assert broker.positions == {0: 7}
