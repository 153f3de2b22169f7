"""A contact's row read without its attributes says what the whole row says; and a row from before births were kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode_contact, encode_contact
from schemas.contact_rest import decode_contact_rest
from segmentation.model import UNKNOWN_BIRTH, CatalogueSeq, ContactState, InstantMs, Offset, Position

TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from([',"members":{', '"members":{"s":1}', '\\",\\"members\\":{', "},{", "ä\u2028"])
)
VALUES = st.one_of(TEXTS, st.integers(-(2**63), 2**64 - 1), st.booleans(), st.lists(TEXTS, max_size=3))
SEGMENT_IDS = st.sampled_from(["members", "s", "active_pro-users", "0"])
INSTANTS = st.integers(0, 2**53)
CONTACTS = st.builds(
    ContactState,
    st.dictionaries(TEXTS, VALUES, max_size=4),
    st.dictionaries(SEGMENT_IDS, INSTANTS, max_size=3),
    st.sets(SEGMENT_IDS, max_size=2),
    st.builds(Position, INSTANTS, st.integers(0, 9), st.integers(0, 9)),
    st.none() | INSTANTS,
    st.integers(-1, 2**40),
)


@given(CONTACTS)
def test_the_rest_of_a_row_is_what_the_whole_row_says_of_it(contact: ContactState) -> None:
    row = encode_contact(contact)
    whole = decode_contact(row)
    assert decode_contact_rest(row) == (whole.members, whole.due, whole.position)


def test_a_row_from_before_births_were_kept_has_an_unknown_one() -> None:
    contact = ContactState({}, {}, set(), Position(InstantMs(1), Offset(2), CatalogueSeq(3)), InstantMs(4), Offset(5))
    row = encode_contact(contact).replace(b',"born":5', b"")
    assert decode_contact(row).born == UNKNOWN_BIRTH
    assert decode_contact_rest(row) == ({}, 4, contact.position)
