"""`python -m bench.soak --minutes 30 [--rate 500]`: one line a minute, then slopes and the oracle's verdict.

Writes go straight to the log at the rate, and for every fifty of them one goes through ingest as a request. The rate is
about half of what the whole stack sustains on two cores together with the load itself. RSS and descriptors are judged
from the end of the warm-up on, for our own processes; Kafka's are shown. The evaluator's stores are given little, and
are full by then. Of its RSS what it holds besides them is judged; what they hold is judged against their limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from bench.soak.resources import Held, besides_stores, disk_mib, held, peaks, slope_percent
from bench.stopping import exit_at_sigterm
from bench.stream import SEGMENTS, Delay, Stream, Target, Watch, drained, lag, quantile
from deploy.local import record
from deploy.local.plan import EVALUATOR, KAFKA, StackPorts
from deploy.local.ports import free_base
from tests.oracle.workspace import Judgement, judge_workspace

RATE_PER_S = 500
REQUEST_SHARE = 50
"""One write in so many goes through ingest."""
CONTACTS = 5_000
STORE_MEMORY_MIB = 64
"""A quarter of the default: they fill within the warm-up, and with them what manages their blocks."""
SAMPLE_S = 5.0
PARTITIONS = 8
WARM_UP_SHARE = 0.5
"""Until then every contact has been seen and its history is full, so that what follows is steady."""
SLOPE_MAX_PERCENT = 1.0
STORES_SLACK = 1.05
"""Stores may be over their limit by what a write in hand and a compaction need."""
DESCRIPTORS_MAX = 5
"""Descriptors that may come and go, beside the stores' files: connections."""
STOP_TIMEOUT_S = 60
VIOLATIONS_SHOWN_MAX = 20
ALARMING = ("[error", "[critical", "ended unexpectedly")
"""What no line of the stack's log may hold."""


@dataclass(slots=True)
class Soak:
    """What was measured. `samples` are (minutes since the start, what each process held)."""

    samples: list[tuple[float, dict[str, Held]]] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    refused: int = 0
    """Requests that ingest did not answer with success."""
    judgement: Judgement | None = None

    def slopes(self, minutes: float) -> dict[str, tuple[float, int]]:
        """By process after the warm-up: slope of the peaks of memory besides stores, and how far descriptors spread.

        Units: percent in 10 minutes.
        """
        warm_at = minutes * WARM_UP_SHARE
        found = {}
        for name in self.samples[0][1]:
            all_of_it = [(at, each[name]) for at, each in self.samples]
            descriptors = [each.descriptors for at, each in all_of_it if at >= warm_at]
            memory = [(at, mib) for at, mib in besides_stores(all_of_it) if at >= warm_at]
            found[name] = slope_percent(peaks(memory)), max(descriptors) - min(descriptors)
        return found

    def problems(self, minutes: float, slope_max: float) -> list[str]:
        """Everything that is not as it must be."""
        found = [f"{self.failed} writes were not acknowledged"] if self.failed else []
        found += [f"{self.refused} requests were not answered with success"] if self.refused else []
        for name, (slope, spread) in self.slopes(minutes).items():
            if name != KAFKA and slope > slope_max:
                found.append(
                    f"{name}: memory besides stores grows by {slope:.2f} % in 10 minutes, at most {slope_max} %"
                )
            if name != KAFKA and spread > DESCRIPTORS_MAX:
                found.append(f"{name}: descriptors spread over {spread}, at most {DESCRIPTORS_MAX}")
        for name in self.samples[0][1]:
            most = max((each[name] for _, each in self.samples), key=lambda each: each.stores_mib)
            if most.stores_mib > most.stores_limit_mib * STORES_SLACK:
                found.append(f"{name}: its stores hold {most.stores_mib:.0f} MiB, at most {most.stores_limit_mib:.0f}")
        return found + (self.judgement.violations[:VIOLATIONS_SHOWN_MAX] if self.judgement is not None else [])


async def soak(system: dict[str, Any], folder: Path, minutes: float, rate_per_s: float, every_s: float) -> Soak:
    """Load a running stack and watch it."""
    target = Target(system["kafka"], "", PARTITIONS)
    found = Soak()
    stream, watch = Stream(target, rate_per_s, CONTACTS), Watch(target)
    ready = json.loads((folder / record.FILE_NAME).read_text())["ready"]
    metrics = {EVALUATOR: ready[EVALUATOR].removesuffix("ready") + "metrics"}
    async with httpx.AsyncClient(
        base_url=f"{system['ingest']}/api/v2", headers={"Authorization": f"Bearer {system['key']}"}
    ) as http:
        for segment_id, where in SEGMENTS.items():
            (await http.post("/segments", json={"id": segment_id, "where": where})).raise_for_status()
        async with _running(
            stream, watch, _requests(http, rate_per_s / REQUEST_SHARE, found, stop := asyncio.Event()), stop
        ):
            began = shown = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                await asyncio.sleep(min(SAMPLE_S, every_s))
                at = (time.monotonic() - began) / 60
                now = await asyncio.to_thread(held, system["pids"], metrics)
                found.samples.append((at, now))
                if time.monotonic() - shown < every_s - SAMPLE_S / 2:
                    continue
                shown = time.monotonic()
                _show(at, now, watch.take(), await lag(target), disk_mib(folder))
    ends = await drained(target)
    found.sent, found.failed = stream.sent, stream.failed
    # Ticks go on, so what is judged ends where everything was committed.
    found.judgement = await asyncio.to_thread(judge_workspace, target.bootstrap, target.prefix, PARTITIONS, ends)
    return found


def _show(at: float, now: dict[str, Held], delays: list[Delay], behind: int, disk: float) -> None:
    writes = [each.delay_ms for each in delays if each.cause == "write"]
    times = [each.delay_ms for each in delays if each.cause == "time"]
    processes = "  ".join(
        f"{name} {each.rss_mib:.0f} MiB/{each.descriptors} fd/{each.threads} thr"
        + (f"/{each.store_files} files of stores" if each.store_files else "")
        + (f"/stores {each.stores_mib:.0f} of {each.stores_limit_mib:.0f} MiB" if each.stores_limit_mib else "")
        for name, each in now.items()
    )
    print(
        f"{at:5.1f} min | {processes} | lag {behind} | writes p99 {quantile(writes, 0.99):.0f} ms, time rules p99 "
        f"{quantile(times, 0.99):.0f} ms ({len(delays)} changes) | disk {disk:.0f} MiB",
        flush=True,
    )


@contextlib.asynccontextmanager
async def _running(
    stream: Stream, watch: Watch, requests: Coroutine[None, None, None], stop: asyncio.Event
) -> AsyncIterator[None]:
    started = asyncio.Event()
    reading = asyncio.create_task(watch.run(stop, started))
    await started.wait()
    writing = asyncio.create_task(stream.run(stop))
    asking = asyncio.create_task(requests)
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(reading, writing, asking)


async def _requests(http: httpx.AsyncClient, per_s: float, found: Soak, stop: asyncio.Event) -> None:
    """Write through ingest at a rate, and count what is refused."""
    number = 0
    while not stop.is_set():
        number += 1
        body = {"id": f"r{number % CONTACTS}", "attributes": {"score": number % 100, "plan": "team"}}
        try:
            found.refused += not (await http.post("/contacts", json=body)).is_success
        except httpx.HTTPError:
            found.refused += 1
        await asyncio.sleep(1 / per_s)


def alarming(log: str) -> list[str]:
    """The first lines of a stack's log that would wake somebody up."""
    lines = (line for line in log.splitlines() if any(sign in line for sign in ALARMING))
    return [f"logged: {line}" for line in islice(lines, VIOLATIONS_SHOWN_MAX)]


def run(minutes: float, rate_per_s: float, every_s: float, slope_max: float = SLOPE_MAX_PERCENT) -> list[str]:
    """Start a stack, soak it, judge it; what is wrong, as lines."""
    with tempfile.TemporaryDirectory(prefix="tidegate-soak-") as directory:
        folder, log = Path(directory) / "data", Path(directory) / "up.log"
        options = ["--json", "--data-dir", str(folder), "--partitions", str(PARTITIONS)]
        command = [sys.executable, "-m", "tidegate.cli.main", "up", "--port-base", str(free_base(StackPorts.SPAN))]
        environment = {**os.environ, "TIDEGATE_STORE_MEMORY_MIB": str(STORE_MEMORY_MIB)}
        with (
            log.open("w") as output,
            subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=output, env=environment) as up,
        ):
            try:
                line = up.stdout.readline() if up.stdout is not None else b""
                if not line:
                    return [log.read_text()]
                system = json.loads(line)
                found = asyncio.run(soak(system, folder, minutes, rate_per_s, every_s))
            finally:
                up.terminate()
                up.wait(STOP_TIMEOUT_S)
            alarms = alarming(log.read_text())
    for name, (slope, spread) in found.slopes(minutes).items():
        print(f"{name}: memory besides stores {slope:+.2f} % in 10 minutes, descriptors spread over {spread}")
    if found.judgement is None:
        return ["nothing was judged"]
    print(
        f"{found.sent} writes, {found.failed} not acknowledged; {found.judgement.inputs} inputs judged, "
        f"{found.judgement.expected_changes} changes, {len(found.judgement.violations)} violations"
    )
    return found.problems(minutes, slope_max) + alarms


def main() -> None:
    """Parse the command line and soak."""
    exit_at_sigterm()
    arguments = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    arguments.add_argument("--minutes", type=float, default=30.0)
    arguments.add_argument("--rate", type=float, default=RATE_PER_S, help="writes a second")
    arguments.add_argument("--every", type=float, default=60.0, help="seconds between two lines")
    options = arguments.parse_args()
    problems = run(options.minutes, options.rate, options.every)
    print("\n".join(problems) or "nothing grows, and every change is right")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
