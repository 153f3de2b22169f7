"""What the processes of a running stack hold, minute by minute, and whether it grows.

Rule: memory that a process sets aside for its stores is bounded, and it fills and empties over minutes, so it is no
growth; everything besides is judged. Only what the stores themselves say they hold at that instant counts as
theirs, and at most their limit: what they gave back and the process still holds is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

MIB = 1 << 20
BLOCK_BYTES = 512
"""Of `st_blocks`: the broker creates its indexes at full size, with holes."""
STORE_FILE_SUFFIXES = (".sst", ".log")
"""Tables, and the logs of rows that are in no table yet."""
STORES = "tidegate_evaluator_store_bytes"
STORES_LIMIT = "tidegate_evaluator_store_limit_bytes"
PEAKS = 5


@dataclass(frozen=True, slots=True)
class Held:
    """One process at one instant.

    `store_files` are open files of its stores, which come and go with what is written and compacted; `stores_mib` is
    what the stores say that they hold, and `stores_limit_mib` what they may.
    """

    rss_mib: float
    descriptors: int
    threads: int
    store_files: int = 0
    stores_mib: float = 0.0
    stores_limit_mib: float = 0.0


def held(pids: Mapping[str, int], metrics: Mapping[str, str]) -> dict[str, Held]:
    """What each process holds now. `metrics` are the addresses of those whose stores are asked."""
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        with process.oneshot():
            rss_mib = process.memory_info().rss / MIB
            if name not in metrics:
                found[name] = Held(rss_mib, process.num_fds(), process.num_threads())
                continue
            store_files = sum(file.path.endswith(STORE_FILE_SUFFIXES) for file in process.open_files())
            descriptors, stores = process.num_fds() - store_files, _stores(metrics[name])
            found[name] = Held(rss_mib, descriptors, process.num_threads(), store_files, *stores)
    return found


def _stores(url: str) -> tuple[float, float]:
    """What a process says of its stores' memory and of its limit, in MiB."""
    exposed = {
        (sample.name, *sample.labels.values()): sample.value / MIB
        for family in text_string_to_metric_families(httpx.get(url).raise_for_status().text)
        for sample in family.samples
        if sample.name in {STORES, STORES_LIMIT}
    }
    return exposed[STORES, "all"], exposed[(STORES_LIMIT,)]


def besides_stores(samples: Sequence[tuple[float, Held]]) -> list[tuple[float, float]]:
    """RSS by minutes, without what the stores hold then, or may hold."""
    return [(at, each.rss_mib - min(each.stores_mib, each.stores_limit_mib)) for at, each in samples]


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
