"""How this process's memory goes back to the system: glibc's allocator, told what the stores need of it.

A store fills its write buffers in blocks of 1 MiB and frees them when they are in files. Left alone, glibc takes the
first such free as a hint to serve blocks of this size from its heaps, where what lives between keeps them resident:
memory that nothing uses any more, about as much as the buffers hold. Rule: called once, before the first thread;
another C library manages its memory as it does.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
"""The parameters' numbers in `malloc.h`."""
MAPPED_FROM_BYTES = 512 << 10
"""Blocks from this size on are mapped alone and go back when freed; smaller ones, as of previews, stay quick to get."""
ARENAS_MAX = 2
"""Heaps beside each other: Python's thread allocates most, the stores' background threads the rest."""


def give_freed_memory_back() -> bool:
    """Set both parameters for the life of the process; whether the C library took them."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)) and bool(mallopt(M_ARENA_MAX, ARENAS_MAX))
