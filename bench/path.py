"""Latency of the whole path: an HTTP request is sent, a consumer of `memberships` reads the change. Real stack.

Open loop: requests leave at their planned instants whatever the answers do, and latency counts from those instants,
so a stall is paid for by every request behind it. Each write flips one membership, so every write is matched with its
change. Readers of uncommitted and of committed records listen side by side,
in processes of their own.

`python -m bench.path [--rates 50 100 200] [--seconds 20] [--segments 100]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bench.e2e.latency import ISOLATIONS, reader
from bench.stopping import exit_at_sigterm
from schemas.topics import Topic, topic_name
from services.runtime.settings import RuntimeSettings

PROBE = "probe"
PARTITIONS: int = RuntimeSettings.model_fields["partitions"].default
CONTACTS = 500
WARM_UP_S = 3.0
CONNECTIONS = 32


@dataclass
class Samples:
    """Seconds from the planned instant of a request to the reading of its change, by isolation."""

    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    read: dict[str, list[float]] = field(default_factory=lambda: {isolation: [] for isolation in ISOLATIONS})


def main() -> None:
    exit_at_sigterm()
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rates", type=int, nargs="+", default=[100, 200])
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--segments", type=int, default=100)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        command = [str(Path(sys.executable).parent / "tidegate"), "up", "--json", "--ephemeral", "--port-base", "24000"]
        stack = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = stack.stdout.readline() if stack.stdout is not None else ""
            if not line:
                raise SystemExit((Path(folder) / "log").read_text())
            asyncio.run(measure(json.loads(line), options.rates, options.seconds, options.segments))
        finally:
            stack.terminate()
            stack.wait()


async def measure(system: dict[str, Any], rates: list[int], seconds: float, segments: int) -> None:
    """One line a rate and isolation level."""
    headers = {"Authorization": f"Bearer {system['key']}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(
        system["ingest"], headers=headers, connector=connector, raise_for_status=True
    ) as http:
        await define(http, segments)
        print(f"{segments} segments, {CONTACTS} contacts; HTTP request sent → membership change read")
        for rate in rates:
            samples = Samples()
            with ExitStack() as readers:
                at = system["kafka"], topic_name("", Topic.MEMBERSHIPS), PARTITIONS
                reading = {isolation: readers.enter_context(reader(*at, isolation)) for isolation in ISOLATIONS}
                warm = await load(http, rate, WARM_UP_S, Samples())
                count = await load(http, rate, seconds, samples)
                for isolation, process in reading.items():
                    note(process.communicate(b"%d\n" % (warm + count))[0], samples, isolation)
            for isolation, latencies in samples.read.items():
                report(rate, isolation, count, latencies)


async def define(http: aiohttp.ClientSession, segments: int) -> None:
    """The probe that every write flips, and others that look at other attributes."""
    await create(http, {"id": PROBE, "where": "probe is true"})
    for number in range(segments - 1):
        where = f'plan is "p{number % 7}" AND score > {number % 90} AND last_active within last {1 + number % 60} days'
        await create(http, {"id": f"s{number}", "where": where})


async def create(http: aiohttp.ClientSession, segment: dict[str, Any]) -> None:
    async with http.post("/api/v2/segments", json=segment) as answer:
        await answer.read()


async def load(http: aiohttp.ClientSession, rate: int, seconds: float, samples: Samples) -> int:
    """Send at planned instants. The n-th write of a contact makes its n-th change, which is how they are matched."""
    count = int(rate * seconds)
    turns = dict.fromkeys(range(CONTACTS), 0)
    begun = time.monotonic()
    sends: set[asyncio.Task[None]] = set()
    base = str(time.monotonic_ns())
    for number in range(count):
        planned = begun + number / rate
        await asyncio.sleep(max(0.0, planned - time.monotonic()))
        contact = number % CONTACTS
        turns[contact] += 1
        contact_id = f"c{base}-{contact}"
        samples.sent[contact_id, turns[contact]] = planned
        body = {"id": contact_id, "attributes": {"probe": turns[contact] % 2 == 1, "score": number % 100}}
        task = asyncio.create_task(send(http, body))
        sends.add(task)
        task.add_done_callback(sends.discard)
    await asyncio.gather(*sends)
    return count


async def send(http: aiohttp.ClientSession, body: dict[str, Any]) -> None:
    async with http.post("/api/v2/contacts", json=body) as answer:
        await answer.read()


def note(said: bytes, samples: Samples, isolation: str) -> None:
    """Match what a reader read with what was sent."""
    seen: dict[str, int] = {}
    for _, _, at, contact_id in orjson.loads(said):
        seen[contact_id] = seen.get(contact_id, 0) + 1
        planned = samples.sent.get((contact_id, seen[contact_id]))
        if planned is not None:
            samples.read[isolation].append(at - planned)


def report(rate: int, isolation: str, count: int, latencies: list[float]) -> None:
    """Percentiles in milliseconds; every write must have been read."""
    if len(latencies) != count:
        raise SystemExit(f"{isolation} at {rate}/s: {count} writes, {len(latencies)} changes read")
    cuts = statistics.quantiles(latencies, n=1000)
    p50, p99, p999 = (cuts[index] * 1000 for index in (499, 989, 998))
    worst = max(latencies) * 1000
    print(
        f"{rate:>6}/s  {isolation:<16}  p50 {p50:7.1f}  p99 {p99:7.1f}  p99.9 {p999:7.1f}  max {worst:7.1f} ms"
        f"  ({count} of {count} read)",
        flush=True,
    )


if __name__ == "__main__":
    main()
