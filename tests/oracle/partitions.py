"""Which partition a contact belongs to, computed anew: Kafka's murmur2 over the id's UTF-8 bytes.

Rule: written from the algorithm, so that a wrong partitioner in the product cannot agree with itself.
"""

from __future__ import annotations

from segmentation.model import ContactId

MASK = 0xFFFFFFFF
POSITIVE = 0x7FFFFFFF
SEED = 0x9747B28C
MIX = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 that Kafka's default partitioner takes, unsigned."""
    result = SEED ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        block = int.from_bytes(data[start : start + 4], "little") * MIX & MASK
        block = (block ^ block >> 24) * MIX & MASK
        result = (result * MIX & MASK) ^ block
    if whole < len(data):
        result = (result ^ int.from_bytes(data[whole:], "little")) * MIX & MASK
    result = (result ^ result >> 13) * MIX & MASK
    return result ^ result >> 15


def home_partition(contact_id: ContactId, partitions: int) -> int:
    """The only partition that may speak of this contact."""
    return (murmur2(contact_id.encode()) & POSITIVE) % partitions
