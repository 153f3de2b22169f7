"""How long a write takes to its membership change, open loop: writes are sent on time whatever the answers do.

From the planned instant of a write to the moment a consumer has its change, once for a consumer that reads uncommitted
records and once for one that reads committed ones. Sender and readers are processes of their own. Each write changes
what the workload would change; one in some also toggles the probe, and is matched with its change of the probe segment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from bench.e2e.evaluator import EvaluatorUnderTest
from bench.e2e.stages import Stages
from bench.e2e.workspace import PROBE_SEGMENT, BenchWorkspace
from schemas.topics import Topic

ISOLATIONS = ("read_uncommitted", "read_committed")
WARM_UP_S = 5.0
"""Writes at the same rate before those that count: a process and a broker that have just started are another matter."""
PROBED_EVERY = 4
"""One write in so many has a change for certain, and counts; 1,000 segments give the others 0.74 changes each."""
BROKER_WARM_UP_S, BROKER_WARM_UP_RATE_PER_S = 20.0, 1_000
"""Before the first rate, whatever it is: a broker compiles its code as it runs, and what depends on the load."""
ROOT = Path(__file__).parents[2]


class Latency(NamedTuple):
    """One measurement. Units: milliseconds. `sender_late` is how late the sender itself was at its 99th percentile."""

    rate_per_s: int
    isolation: str
    writes: int
    p50: float
    p99: float
    p999: float
    longest: float
    sender_late: float


class LatencyAtRate(NamedTuple):
    """Both readers' latencies at one rate, what the evaluator spent, and where the time went."""

    readers: list[Latency]
    cpu_share: float
    """Processor time of the evaluator a second of load."""
    commits_per_s: float
    stages: str


def measure_latency(
    broker: str, partitions: int, contacts: int, segments: int, rates: Sequence[int], seconds: float, probed_every: int
) -> Iterator[LatencyAtRate]:
    """One evaluator, one rate after another; of the writes, one in `probed_every` is timed."""
    workspace = BenchWorkspace(broker, partitions, contacts, segments, replay_history=False)
    workspace.create()
    with (
        tempfile.TemporaryDirectory() as directory,
        EvaluatorUnderTest(workspace, Path(directory) / "state") as evaluator,
    ):
        workspace.produce([*workspace.definitions(), *workspace.creations()])
        evaluator.await_committed(workspace.ends())
        evaluator.await_settled()
        probes = Probes(workspace, probed_every)
        probes.run(BROKER_WARM_UP_RATE_PER_S, BROKER_WARM_UP_S)
        for rate in rates:
            probes.run(rate, WARM_UP_S)
            before, cpu = Stages.of(evaluator), evaluator.cpu_s
            readers = probes.run(rate, seconds)
            spent, stages = evaluator.cpu_s - cpu, Stages.of(evaluator).since(before)
            yield LatencyAtRate(readers, spent / seconds, stages.commits / seconds, stages.of_a_commit())


class Probes:
    """Sends writes, of which one in `every` toggles the probe, and learns when the change of each of those was seen."""

    def __init__(self, workspace: BenchWorkspace, every: int = 1) -> None:
        self._workspace = workspace
        self._every = every
        self._values: dict[int, int] = {}

    def run(self, rate: int, seconds: float) -> list[Latency]:
        """Send at a rate for some seconds and wait for the last change; one measurement for each isolation level."""
        with tempfile.TemporaryDirectory() as directory:
            plan = self._plan(rate, seconds, Path(directory) / "records.json")
            at = self._workspace.broker, self._workspace.name(Topic.MEMBERSHIPS), self._workspace.partitions
            with reader(*at, ISOLATIONS[0]) as first, reader(*at, ISOLATIONS[1]) as second:
                sent = _run("bench.e2e.sending", plan)
                count = -(-int(rate * seconds) // self._every)
                seen = [_finish(first, count), _finish(second, count)]
        return [_summary(rate, isolation, sent, found) for isolation, found in zip(ISOLATIONS, seen, strict=True)]

    def _plan(self, rate: int, seconds: float, path: Path) -> dict[str, object]:
        workspace = self._workspace
        records = []
        for number, (contact, partition, attributes) in enumerate(workspace.live_writes(int(rate * seconds))):
            probe = {}
            if number % self._every == 0:
                probe["probe"] = self._values[contact] = 1 - self._values.get(contact, 0)
            body = orjson.dumps({"attributes": {**attributes, **probe}})
            records.append((partition, workspace.key(contact).decode(), body.decode()))
        path.write_bytes(orjson.dumps(records))
        topic = workspace.name(Topic.CONTACT_CHANGES)
        return {
            "broker": workspace.broker, "topic": topic, "rate_per_s": rate, "records": str(path), "every": self._every,
        }  # fmt: skip


@contextmanager
def reader(broker: str, topic: str, partitions: int, isolation: str) -> Iterator[subprocess.Popen[bytes]]:
    """A reader that listens already to changes of the probe."""
    plan = {
        "broker": broker,
        "topic": topic,
        "partitions": partitions,
        "group": f"{topic}-{isolation}",
        "isolation": isolation,
        "key_prefix": f"{PROBE_SEGMENT}|",
    }
    command = [sys.executable, "-m", "bench.e2e.reading", json.dumps(plan)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != b"listening":
                raise RuntimeError("a reader of memberships did not start")
            yield process
        finally:
            process.kill()


def _finish(process: subprocess.Popen[bytes], count: int) -> dict[tuple[int, int], float]:
    """Have a reader end with the `count`-th change; the instants at which it saw each."""
    said, _ = process.communicate(b"%d\n" % count)
    return {(partition, offset): at for partition, offset, at, _ in orjson.loads(said)}


def _run(module: str, plan: dict[str, object]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(plan)], stdout=subprocess.PIPE, check=True, cwd=ROOT
    )
    said: dict[str, object] = orjson.loads(done.stdout)
    return said


def _summary(rate: int, isolation: str, said: dict[str, object], seen: dict[tuple[int, int], float]) -> Latency:
    places = said["places"]
    if not isinstance(places, list):
        raise TypeError("the sender did not say where its records went")
    sent = {(partition, offset): at for partition, offset, at in places}
    missing = sent.keys() - seen.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(sent)} writes at {rate}/s led to no change read {isolation}")
    took: list[float] = sorted((seen[place] - at) * 1_000 for place, at in sent.items())

    def quantile(share: float) -> float:
        return took[min(len(took) - 1, int(len(took) * share))]

    late = float(str(said["late_p99_ms"]))
    return Latency(rate, isolation, len(took), quantile(0.5), quantile(0.99), quantile(0.999), took[-1], late)
