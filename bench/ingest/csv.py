"""`python -m bench.ingest.csv`: a CSV file of a million rows through ingest onto a broker, killed twice on the way.

Starts one ingest process of its own beside a broker: the one named by `--bootstrap`, else one of its own.
Rule: prints what it measured and what is promised, and reads the log back: each row once, in the file's order. A
promise that is missed ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.ingest.__main__ import START_WAIT_S, broker
from bench.stopping import exit_at_sigterm
from deploy.local.ports import free_ports
from schemas.topics import Topic, topic_name
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from services.runtime.logs import configure_logs
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics

ROWS = 1_000_000
KILLS = 2
TOOK_S_MAX = 300
RESIDENT_MIB_MAX = 300
WRITE_ROWS = 10_000
POLL_S = 0.25
MIB = 1024 * 1024


def lines(rows: int) -> Iterator[str]:
    """The file: seven columns, as a shop would export its customers."""
    yield "contact_id,email,plan,orders,total_spent,last_order_at,city\n"
    for row in range(rows):
        plan = ("free", "pro", "team")[row % 3]
        spent, day = row * 7 % 10_000 / 100, f"2026-{row % 12 + 1:02d}-{row % 28 + 1:02d}"
        yield f"u_{row},contact{row}@example.com,{plan},{row % 17},{spent:.2f},{day},Town {row % 1000}\n"


async def content(rows: int) -> AsyncIterator[bytes]:
    """The file as it is sent."""
    source = lines(rows)
    while part := "".join(itertools.islice(source, WRITE_ROWS)):
        yield part.encode()


class Ingest:
    """One ingest process, and the most memory that it and its predecessors held."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self.port, self._admin_port = free_ports(2)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.resident_max = 0

    async def start(self) -> None:
        """Start, and wait until it is ready."""
        self._spawn()
        async with asyncio.timeout(START_WAIT_S), httpx.AsyncClient() as http:
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{self._admin_port}/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(POLL_S)

    def _spawn(self) -> None:
        environment = {
            **os.environ,
            "TIDEGATE_KAFKA_BOOTSTRAP": self._settings.kafka_bootstrap,
            "TIDEGATE_TOPIC_PREFIX": self._settings.topic_prefix,
            "TIDEGATE_DATA_DIR": str(self._settings.data_dir),
            "TIDEGATE_INGEST_PORT": str(self.port),
            "TIDEGATE_ADMIN_PORT": str(self._admin_port),
            "TIDEGATE_LOG_LEVEL": "WARNING",
        }
        self._process = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment)

    def look(self) -> None:
        """Take note of the memory it holds."""
        if self._process is not None and self._process.poll() is None:
            self.resident_max = max(self.resident_max, psutil.Process(self._process.pid).memory_info().rss)

    def end(self, how: signal.Signals) -> None:
        """End the process."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)


async def measure(settings: RuntimeSettings, rows: int, kills: int) -> bool:
    """Import, kill, resume, read back; whether every promise was kept."""
    await ensure_topics(settings)
    token = KeyFile(settings.data_dir / KEY_FILE_NAME).create("bench", [Scope.IMPORTS_WRITE]).token
    ingest = Ingest(settings)
    await ingest.start()
    try:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            imports = f"http://127.0.0.1:{ingest.port}/api/v2/imports"
            began = time.monotonic()
            answer = await http.post(f"{imports}?id_column=contact_id&commit=true", content=content(rows))
            answer.raise_for_status()
            uploaded_s = time.monotonic() - began
            url = f"{imports}/{answer.json()['id']}"
            goals = [(kill + 1) * rows // (kills + 1) for kill in range(kills)]
            while (shown := (await http.get(url)).json())["state"] == "running":
                ingest.look()
                if goals and shown["rows_read"] >= goals[0]:
                    goals.pop(0)
                    ingest.end(signal.SIGKILL)
                    await ingest.start()
                await asyncio.sleep(POLL_S)
            took_s = time.monotonic() - began
    finally:
        ingest.end(signal.SIGTERM)
    written, faults = await read_back(settings, answer.json()["id"])
    resident_mib = ingest.resident_max / MIB
    print(f"{'rows':<28}{rows:>12,}   state {shown['state']}, rejected {shown['rejected']}")
    print(f"{'upload':<28}{uploaded_s:>12.1f} s")
    print(f"{'upload to last row':<28}{took_s:>12.1f} s      at most {TOOK_S_MAX} s")
    print(f"{'rows a second':<28}{rows / took_s:>12,.0f}")
    print(f"{'resident memory':<28}{resident_mib:>12.0f} MiB    at most {RESIDENT_MIB_MAX} MiB")
    print(f"{'kill -9 on the way':<28}{kills - len(goals):>12}")
    print(f"{'rows on the log':<28}{written:>12,}   lost {rows - written}, repeated or out of order {faults}")
    kept = took_s <= TOOK_S_MAX and resident_mib <= RESIDENT_MIB_MAX and not goals
    return kept and shown["state"] == "completed" and (written, faults) == (rows, 0)


async def read_back(settings: RuntimeSettings, import_id: str) -> tuple[int, int]:
    """How many rows are on the log, and how many of its records do not come after a row before them."""
    topic = topic_name(settings.topic_prefix, Topic.CONTACT_CHANGES)
    partitions = [TopicPartition(topic, partition) for partition in range(settings.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        mark = f'"message_id":"{import_id}:'.encode()
        last = dict.fromkeys(partitions, 0)
        written = faults = 0
        for partition in partitions:
            consumer.seek(partition, 0)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=1_000)).items():
                for record in records:
                    row = int(record.value.partition(mark)[2].partition(b'"')[0])
                    faults += row <= last[partition]
                    written += row > last[partition]
                    last[partition] = max(row, last[partition])
        return written, faults
    finally:
        await consumer.stop()


def main() -> None:
    """Measure and print."""
    exit_at_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.ingest.csv", description=__doc__)
    parser.add_argument("--bootstrap", help="a broker to use instead of one of our own")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    configure_logs("bench", level="WARNING", stream=sys.stderr)
    with tempfile.TemporaryDirectory() as name, broker(options.bootstrap, Path(name)) as bootstrap:
        settings = RuntimeSettings(
            kafka_bootstrap=bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}-", data_dir=Path(name)
        )
        kept = asyncio.run(measure(settings, options.rows, options.kills))
    print("promises kept" if kept else "a promise was missed")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
