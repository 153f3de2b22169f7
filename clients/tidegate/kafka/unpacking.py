"""Compressed batches, unpacked no further than they may be: a broker takes any, and the library unpacks all of one.

A batch that is small enough for a broker may unpack to thousands of times its size; whoever reads its partition would
be ended for want of memory, and again at every start. Rule: what comes out is bounded before it is made. Within the
bound everything is as the library does it, what is damaged included.
"""

from __future__ import annotations

import mmap
import struct
import sys
import zlib
from typing import Any, Final

from aiokafka import codec
from aiokafka.record import default_records

UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one batch. Producers fill a batch of a megabyte before they compress it; the largest topic takes eight."""
USUAL_BYTES: Final = 64 * 1024
USUAL_RATIO: Final = 32
"""A batch that unpacks to no more than either is unpacked in one go."""
_XERIAL_HEAD: Final = b"\x82SNAPPY\0" + struct.pack("!ii", 1, 1)
"""Of snappy in blocks, as Java writes it."""
_BLOCK: Final = struct.Struct("!i")
_FULL: Final = "whole buffer"
"""Of what the decoders say when what they write into is too small."""
cramjam: Any = codec.cramjam
"""What the library unpacks with."""


class TooLargeError(Exception):
    """The batch unpacks to more than `UNPACKED_BYTES_MAX`."""


def gzip_decode(payload: Any) -> bytes:
    """Unpack gzip, of one member or several."""
    rest = bytes(payload)
    parts: list[bytes] = []
    left = UNPACKED_BYTES_MAX
    while rest:
        unpacker = zlib.decompressobj(wbits=31)
        parts.append(unpacker.decompress(rest, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise TooLargeError
        if not unpacker.eof:
            raise EOFError("the compressed batch ended before its end-of-stream marker was reached")
        rest = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)


def snappy_decode(payload: Any) -> bytes:
    """Unpack snappy, which says beforehand how much there is."""
    told = memoryview(payload)
    size = 0
    if bytes(told[: len(_XERIAL_HEAD)]) == _XERIAL_HEAD:
        at = len(_XERIAL_HEAD)
        while at < len(told):
            (block,) = _BLOCK.unpack_from(told, at)
            at += _BLOCK.size
            if block <= 0:
                break  # it is damaged, which the library says
            size += cramjam.snappy.decompress_raw_len(told[at : at + block])
            at += block
    else:
        size = cramjam.snappy.decompress_raw_len(told)
    if size > UNPACKED_BYTES_MAX:
        raise TooLargeError
    unpacked: bytes = codec.snappy_decode(payload)
    return unpacked


def lz4_decode(payload: Any) -> bytes:
    """Unpack lz4."""
    return _within(cramjam.lz4.decompress_into, payload)


def zstd_decode(payload: Any) -> bytes:
    """Unpack zstd."""
    return _within(cramjam.zstd.decompress_into, payload)


def _within(decode: Any, payload: Any) -> bytes:
    """What the decoder writes into the room that there is: at first what batches need, then all."""
    usual = bytearray(max(USUAL_BYTES, USUAL_RATIO * len(payload)))
    if len(usual) < UNPACKED_BYTES_MAX:
        try:
            return bytes(memoryview(usual)[: decode(payload, usual)])
        except cramjam.DecompressionError as error:
            if _FULL not in str(error):
                raise
    with mmap.mmap(-1, UNPACKED_BYTES_MAX) as room:  # of which only what is written to is taken
        try:
            return room[: decode(payload, room)]
        except cramjam.DecompressionError as error:
            if _FULL in str(error):
                raise TooLargeError from error
            raise


def use_unpacking() -> None:
    """Make the library unpack by it from now on, unless the program has put something of its own in place."""
    for name, ours in (("gzip", gzip_decode), ("snappy", snappy_decode), ("lz4", lz4_decode), ("zstd", zstd_decode)):
        for module in (default_records, sys.modules[default_records.DefaultRecordBatch.__module__]):
            if getattr(module, f"{name}_decode") is getattr(codec, f"{name}_decode"):
                setattr(module, f"{name}_decode", ours)
