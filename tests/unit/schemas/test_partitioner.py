"""A contact lands where every Kafka client with the default Java hash puts it."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioner import murmur2, partition_for
from segmentation.model import ContactId


@pytest.mark.parametrize(
    ("text", "expected"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_murmur2_gives_the_numbers_of_the_java_client_own_tests(text: str, expected: int) -> None:
    assert murmur2(text.encode()) == expected & 0xFFFFFFFF


@given(st.binary(max_size=40))
def test_murmur2_equals_the_one_inside_aiokafka(data: bytes) -> None:
    assert murmur2(data) == aiokafka_murmur2(data) & 0xFFFFFFFF


@given(st.text(min_size=1, max_size=20), st.integers(1, 64))
def test_a_partition_is_always_one_of_the_topic(contact_id: str, partitions: int) -> None:
    assert 0 <= partition_for(ContactId(contact_id), partitions) < partitions
