"""Write buffers that are in files do not stay resident."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
import psutil
from services.evaluator.allocator import give_freed_memory_back
from services.evaluator.store import RocksStore, StoreMemory

assert give_freed_memory_back()
memory = StoreMemory()
stores = [RocksStore(Path(sys.argv[1]) / str(index), memory) for index in range(4)]

def fill():
    for batch in range(6):
        for store in stores:
            store.write({b"%d-%d" % (batch, row): os.urandom(10_000) for row in range(200)})

process = psutil.Process()
for store in stores:
    store.flush()
before = process.memory_info().rss
kept = []
for _ in range(3):
    fill()
    filled = process.memory_info().rss
    for store in stores:
        store.flush()
    kept.append([bytes(1000) for _ in range(2_000)])
print(filled - before, process.memory_info().rss - before)
"""


def test_the_memory_of_written_buffers_goes_back_to_the_system(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    filled, flushed = map(int, done.stdout.split())
    assert filled > 40 << 20
    assert flushed < filled / 2, "left alone, the allocator keeps all of it"
