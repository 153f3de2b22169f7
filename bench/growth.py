"""Evaluators come and go under a steady stream: `python -m bench.growth [--broker host:port] [--seconds N]`.

One evaluator, then two, three, two and one again, each step held for some seconds. Prints for each step the longest
silence of a partition (median and longest over partitions), how late writes and time rules were read, and at the end
whether the oracle finds a change that is lost, late, doubled or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.stopping import exit_at_sigterm
from bench.stream import SEGMENTS, Delay, Stream, Target, Watch, define, drained, quantile
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error
from services.runtime.logs import configure_logs
from tests.faults.process import Evaluator, Scheduler
from tests.faults.workspace import Workspace
from tests.oracle.workspace import Judgement, judge_workspace

PARTITIONS = 8
CONTACTS = 600
RATE_PER_S = 300
WARM_UP_S = 3.0
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Step:
    """What was seen while one evaluator came or went, until the next did. Units: milliseconds."""

    name: str
    change_s: float
    """From the command to the evaluator being ready, or gone."""
    pause_p50: float
    pause_max: float
    write_p50: float
    write_max: float
    time_p50: float
    time_max: float
    changes: int

    def __str__(self) -> str:
        return (
            f"{self.name:<10} {self.change_s:5.1f} s | pause of a partition p50 {self.pause_p50:6.0f}, "
            f"max {self.pause_max:6.0f} ms | "
            f"writes read after p50 {self.write_p50:5.0f}, max {self.write_max:6.0f} ms | "
            f"time rules after p50 {self.time_p50:5.0f}, max {self.time_max:6.0f} ms | {self.changes} changes"
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """The steps, and the oracle's judgement over the whole."""

    steps: list[Step]
    judgement: Judgement
    sent: int
    failed: int


async def measure_growth(broker: str, prefix: str, directory: Path, seconds: float) -> Growth:
    """Let evaluators come and go, each step held for `seconds`."""
    workspace = Workspace(broker, prefix, partitions=PARTITIONS, broker_stamps=True)
    await workspace.create()
    target = Target(broker, prefix, PARTITIONS)
    await define(target, SEGMENTS)
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(Evaluator(workspace, directory / name)) for name in ("first", "second", "third")
        )
        scheduler = stack.enter_context(Scheduler(workspace, directory / "scheduler"))
        first.start()
        scheduler.start()
        await first.ready(READY_TIMEOUT_S)
        stream = Stream(target, RATE_PER_S, CONTACTS)
        watch = Watch(target)
        async with _running(stream, watch):
            await asyncio.sleep(CONTACTS / RATE_PER_S + WARM_UP_S)
            steps = []
            for name, evaluator, comes in (
                ("one", first, None),
                ("1 to 2", second, True),
                ("2 to 3", third, True),
                ("3 to 2", third, False),
                ("2 to 1", second, False),
            ):
                steps.append(await _step(name, evaluator, comes, watch, seconds))
        await scheduler.stop()
        ends = await drained(target)
        judgement = await asyncio.to_thread(judge_workspace, broker, prefix, PARTITIONS, ends)
    return Growth(steps, judgement, stream.sent, stream.failed)


async def _step(name: str, evaluator: Evaluator, comes: bool | None, watch: Watch, seconds: float) -> Step:
    began = time.monotonic()
    watch.take()
    if comes is True:
        evaluator.start()
        await evaluator.ready(READY_TIMEOUT_S)
    elif comes is False and await evaluator.stop() != 0:
        raise RuntimeError(f"{name}: the evaluator did not stop cleanly:\n{evaluator.log[-2_000:]}")
    change_s = time.monotonic() - began
    await asyncio.sleep(seconds)
    delays = watch.take()
    pauses = [max(_gaps(delays, partition, began, time.monotonic())) * 1_000 for partition in range(PARTITIONS)]
    writes = [each.delay_ms for each in delays if each.cause == "write"]
    times = [each.delay_ms for each in delays if each.cause == "time"]
    return Step(
        name,
        change_s,
        quantile(pauses, 0.5),
        max(pauses),
        quantile(writes, 0.5),
        quantile(writes, 1.0),
        quantile(times, 0.5),
        quantile(times, 1.0),
        len(delays),
    )


def _gaps(delays: list[Delay], partition: int, began: float, ended: float) -> Iterator[float]:
    """The silences of a partition."""
    before = began
    for each in delays:
        if each.partition == partition:
            yield each.read_at - before
            before = each.read_at
    yield ended - before


@contextlib.asynccontextmanager
async def _running(stream: Stream, watch: Watch) -> AsyncIterator[None]:
    stop, started = asyncio.Event(), asyncio.Event()
    reading = asyncio.create_task(watch.run(stop, started))
    await started.wait()
    writing = asyncio.create_task(stream.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(reading, writing)


def main() -> None:
    """Parse the command line and measure."""
    exit_at_sigterm()
    arguments = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    arguments.add_argument("--broker", help="bootstrap address; by default one is started for the run")
    arguments.add_argument("--seconds", type=float, default=20.0, help="how long each step is held")
    options = arguments.parse_args()
    configure_logs("bench", level="WARNING", stream=sys.stderr)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = options.broker
        if broker is None:
            port, controller_port = free_ports(2)
            kafka = LocalKafka(directory / "kafka", port, controller_port, to_standard_error)
            kafka.start()
            stack.callback(kafka.stop)
            broker = kafka.bootstrap
        growth = asyncio.run(measure_growth(broker, f"growth-{uuid.uuid4().hex[:8]}-", directory, options.seconds))
    for step in growth.steps:
        print(step)
    print(
        f"{growth.sent} writes, {growth.failed} not acknowledged; {growth.judgement.inputs} inputs judged, "
        f"{growth.judgement.expected_changes} changes expected, {len(growth.judgement.violations)} violations"
    )
    if growth.judgement.violations or growth.failed:
        raise SystemExit("\n".join(growth.judgement.violations[:20]) or "writes were not acknowledged")


if __name__ == "__main__":
    main()
