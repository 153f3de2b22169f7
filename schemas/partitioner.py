"""Which partition a contact lives in: Kafka's own murmur2 of the id's UTF-8 bytes.

Rule: equal, bit for bit, to the default partitioner of the Java client, so that any producer with the documented
setting puts a contact where we look for it. Changing it means moving every contact.
"""

from __future__ import annotations

from segmentation.model import ContactId

_SEED = 0x9747B28C
_M = 0x5BD1E995
_R = 24
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 as an unsigned 32-bit number."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> _R)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole != length:
        h ^= int.from_bytes(data[whole:], "little")
        h = h * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ (h >> 15)


def partition_for_key(key: bytes, partitions: int) -> int:
    """The partition of a record key."""
    return (murmur2(key) & _POSITIVE) % partitions


def partition_for(contact_id: ContactId, partitions: int) -> int:
    """The partition of a contact."""
    return partition_for_key(contact_id.encode(), partitions)
