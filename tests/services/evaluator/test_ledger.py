"""What a transaction ends in besides, and what its control row says of it."""

from __future__ import annotations

import pytest

from schemas.topics import Topic
from services.evaluator.ledger import RECENT_TRANSACTIONS, WROTE_HEADER, Ledger, Wrote, wrote
from services.evaluator.ports import LogError, OutputRecord

CHANGES, LETTERS = Topic.MEMBERSHIPS, Topic.DEAD_LETTERS
CONTACTS, CONTROL = Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG
RECORD = OutputRecord(b"k", b"v", (("own", b"header"),))


def test_a_transaction_ends_in_what_the_latest_ones_wrote() -> None:
    ledger = Ledger()
    ledger.begin()
    assert set(ledger.name(CHANGES)) == {CHANGES, CONTACTS, CONTROL}
    ledger.enter(CHANGES, [RECORD])
    ledger.committed()
    for _ in range(RECENT_TRANSACTIONS):
        ledger.begin()
        assert CHANGES in ledger.name(CONTROL)
        ledger.enter(CONTROL, [RECORD])
        ledger.committed()
    ledger.begin()
    assert set(ledger.name(CONTROL)) == {CONTROL}


def test_only_the_first_records_of_a_transaction_name_what_the_latest_ones_wrote() -> None:
    ledger = Ledger()
    ledger.begin()
    ledger.enter(LETTERS, [RECORD])
    ledger.committed()
    ledger.begin()
    assert LETTERS in ledger.name(CHANGES)
    ledger.enter(CHANGES, [RECORD])
    assert LETTERS not in ledger.name(CONTACTS)


def test_the_last_control_record_says_what_its_transaction_wrote_and_where_that_begins_at_the_earliest() -> None:
    ledger = Ledger()
    ledger.begin_at({CHANGES: 5, CONTACTS: 7})
    ledger.begin()
    assert list(ledger.enter(CHANGES, [RECORD, RECORD])) == [RECORD, RECORD]
    ledger.enter(CHANGES, [RECORD])
    first, last = ledger.enter(CONTROL, [RECORD, RECORD])
    assert first == RECORD
    assert last[:2] == RECORD[:2]
    assert last.headers[0] == ("own", b"header")
    assert wrote(last.headers) == {CHANGES: Wrote(5, 3)}
    assert wrote(first.headers) is None
    ledger.acknowledged({CHANGES: 8, CONTROL: 2})
    ledger.committed()
    ledger.begin()
    ledger.enter(CHANGES, [RECORD])
    assert wrote(ledger.enter(CONTROL, [RECORD])[0].headers) == {CHANGES: Wrote(8, 1)}
    ledger.acknowledged({CHANGES: 10, CONTROL: 4})
    ledger.begin()
    ledger.enter(CONTACTS, [RECORD])
    assert wrote(ledger.enter(CONTROL, [RECORD])[0].headers) == {CHANGES: Wrote(8, 0), CONTACTS: Wrote(7, 1)}


@pytest.mark.parametrize(
    "told",
    [b"", b"\xff", b"{", b"7", b"[1]", b'{"nowhere":[0,1]}', b'{"segments":[0,1]}', b'{"memberships":null}',
     b'{"memberships":7}', b'{"memberships":[1]}', b'{"memberships":[1,2,3]}', b'{"memberships":["1",2]}',
     b'{"memberships":[1,2.0]}', b'{"memberships":[true,2]}', b'{"memberships":[-1,2]}', b'{"memberships":[1,-2]}'],
)  # fmt: skip
def test_a_header_that_makes_no_sense_is_of_no_transaction_of_ours(told: bytes) -> None:
    assert wrote([(WROTE_HEADER, told)]) is None


def test_a_topic_that_ends_earlier_than_before_is_no_log_to_go_on_in() -> None:
    ledger = Ledger()
    ledger.begin_at({CONTACTS: 100, CONTROL: 10})
    ledger.begin()
    ledger.enter(CONTACTS, [RECORD])
    ledger.enter(CONTROL, [RECORD])
    with pytest.raises(LogError, match=r"ended at 100, and after another append at 1.*contacts-changelog"):
        ledger.acknowledged({CONTACTS: 1, CONTROL: 12})
