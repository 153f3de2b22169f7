"""Contacts that a store does not hold: the rows of `CommitRows.put_contact`, in the order of their keys."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode_contact
from segmentation.model import AttributeName, ContactId, ContactState, InstantMs, SegmentId
from services.evaluator import rows
from services.evaluator.new_contacts import NewContacts

IDS = st.text(min_size=1, max_size=6)
INSTANTS = st.integers(-(1 << 40), 1 << 45).map(InstantMs)
MEMBERS = st.dictionaries(st.sampled_from([SegmentId(f"s{number}") for number in range(12)]), INSTANTS, max_size=5)


@st.composite
def contacts(draw: st.DrawFn) -> dict[ContactId, ContactState]:
    ids = draw(st.lists(IDS.map(ContactId), unique=True, max_size=12))
    return {
        contact_id: ContactState(
            attributes={AttributeName("name"): draw(st.text(max_size=20))},
            members=draw(MEMBERS),
            due=draw(st.none() | INSTANTS),
        )
        for contact_id in ids
    }


@given(contacts())
def test_new_contacts_have_the_rows_and_counts_of_a_commit(found: dict[ContactId, ContactState]) -> None:
    raw = {contact_id.encode(): encode_contact(contact) for contact_id, contact in found.items()}
    new = NewContacts()
    for raw_id in sorted(raw):
        new.add(raw_id, raw[raw_id])
    ours, expected = rows.CommitRows({}), rows.CommitRows({})
    new.put(ours)
    for contact_id, contact in found.items():
        expected.put_contact(contact_id.encode(), None, contact, raw[contact_id.encode()])
    assert ours.rows == expected.rows
    assert ours.counts == expected.counts
    assert len(new) == len(found)
    for _, keys in groupby(ours.rows, lambda key: key[:1]):
        of_a_kind = list(keys)
        assert of_a_kind == sorted(of_a_kind)
    ours.put_counts()
    expected.put_counts()
    assert ours.rows == expected.rows


def test_of_a_row_without_sense_nothing_is_added() -> None:
    before = ContactState({}, {SegmentId("shared"): InstantMs(1)})
    members, position = b'{"shared":2,"only_here":3,"bad":"soon"}', b'"clock":1,"offset":2,"seq":3'
    row = b'{"attributes":{},"members":%s,"left":[],%s,"due":4}' % (members, position)
    new, ours, expected = NewContacts(), rows.CommitRows({}), rows.CommitRows({})
    new.add(b"a", encode_contact(before))
    with pytest.raises(TypeError):
        new.add(b"b", row)
    new.put(ours)
    expected.put_contact(b"a", None, before, encode_contact(before))
    assert (ours.rows, ours.counts) == (expected.rows, expected.counts)
