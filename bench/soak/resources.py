"""What the processes of a running stack hold, minute by minute, and whether it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1 << 20
BLOCK_BYTES = 512
"""Of `st_blocks`: the broker creates its indexes at full size, with holes."""
TABLE_SUFFIXES = (".sst",)
PEAKS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """One process at one instant. `tables` are open files of RocksDB, which come and go with its compaction."""

    rss_mib: float
    descriptors: int
    threads: int
    tables: int = 0


def held(pids: Mapping[str, int]) -> dict[str, Held]:
    """What each process holds now."""
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        with process.oneshot():
            tables = sum(file.path.endswith(TABLE_SUFFIXES) for file in process.open_files())
            found[name] = Held(
                process.memory_info().rss / MIB, process.num_fds() - tables, process.num_threads(), tables
            )
    return found


def disk_mib(folder: Path) -> float:
    """What all files below a folder take on the disk; one that goes away meanwhile takes nothing."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_blocks * BLOCK_BYTES if path.is_file() else 0
        except FileNotFoundError:
            continue
    return size / MIB


def peaks(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The greatest of each fifth of the samples: memory that is filled and emptied again swings, its peaks do not."""
    size = max(1, -(-len(samples) // PEAKS))
    return [max(samples[begin : begin + size], key=lambda each: each[1]) for begin in range(0, len(samples), size)]


def slope_percent(samples: Sequence[tuple[float, float]]) -> float:
    """How much a straight line through (minutes, value) rises in ten minutes, in percent of its middle."""
    count = len(samples)
    middle_x = sum(x for x, _ in samples) / count
    middle_y = sum(y for _, y in samples) / count
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    if not spread or not middle_y:
        return 0.0
    rise = sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread
    return rise * 10.0 / middle_y * 100.0
