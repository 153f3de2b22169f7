"""`python -m bench.e2e [--quick] [--broker host:port] [backlog|latency|recovery …]`: prints one line a measurement."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.e2e.backlog import measure_backlog
from bench.e2e.burst import measure_burst
from bench.e2e.latency import measure_latency
from bench.e2e.peers import PeerRate, measure_plain_loop, measure_stock_faust
from bench.e2e.recovery import measure_recovery
from bench.e2e.workspace import BenchWorkspace
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error

PARTS = ("backlog", "latency", "recovery", "burst", "peers")
PARTITIONS = 8
CONTACTS = 20_000
SEGMENTS = (10, 100, 1_000, 10_000)
PEER_SEGMENTS = (10, 100, 1_000)
RATES_PER_S = (50, 200, 1_000, 3_000)


@contextmanager
def _broker(named: str | None) -> Iterator[str]:
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory() as directory:
        port, controller_port = free_ports(2)
        kafka = LocalKafka(Path(directory), port, controller_port, to_standard_error)
        kafka.start()
        try:
            yield kafka.bootstrap
        finally:
            kafka.stop()


def _run(broker: str, parts: list[str], quick: bool) -> None:
    if "backlog" in parts:
        for segments in (100,) if quick else SEGMENTS:
            updates = 50_000 if quick else 300_000
            found = measure_backlog(broker, PARTITIONS, CONTACTS, segments, updates)
            print(
                f"backlog: {segments} segments, {CONTACTS:,} contacts, {found.updates:,} writes: "
                f"{found.rate_per_s:,.0f}/s, {found.cpu_us_per_update:.1f} µs of processor a write, "
                f"{found.rss_mib:.0f} MiB"
            )
    if "latency" in parts:
        rates = (200, 1_000) if quick else RATES_PER_S
        for latency in measure_latency(
            broker, PARTITIONS, CONTACTS, 100 if quick else 1_000, rates, 5 if quick else 20
        ):
            print(
                f"latency: {latency.rate_per_s}/s, {latency.isolation}: p50 {latency.p50:.1f} ms, "
                f"p99 {latency.p99:.1f}, p99.9 {latency.p999:.1f}, longest {latency.longest:.1f} "
                f"({latency.writes} writes)"
            )
    if "recovery" in parts:
        recovery = measure_recovery(broker, PARTITIONS, 100_000 if quick else 1_000_000, 20)
        print(
            f"recovery: {recovery.contacts:,} contacts from {recovery.records:,} changelog records: "
            f"{recovery.cold_recovery_ms / 1_000:.1f} s on a wiped disk, "
            f"{recovery.warm_recovery_ms / 1_000:.2f} s warm, {recovery.rss_mib:.0f} MiB"
        )

    if "burst" in parts:
        burst = measure_burst(broker, PARTITIONS, 10_000 if quick else 100_000, 5 if quick else 20)
        print(
            f"burst: {burst.deadlines:,} deadlines at one instant, all committed {burst.published_s:.1f} s after it; "
            f"live writes p99 {burst.before.p99:.1f} ms before, {burst.across.p99:.1f} ms across it"
        )

    if "peers" in parts:
        for segments in (100,) if quick else PEER_SEGMENTS:
            for peer in _peers(broker, segments, 20_000 if quick else 100_000):
                print(f"peer: {segments} segments: {peer.rate_per_s:,.0f}/s: {peer.name}")


def _peers(broker: str, segments: int, updates: int) -> Iterator[PeerRate]:
    workspace = BenchWorkspace(broker, PARTITIONS, CONTACTS, segments)
    workspace.create()
    records = [*workspace.definitions(), *workspace.creations()]
    warm = len(records)
    records += list(workspace.updates(updates))
    workspace.produce(records)
    ends = Counter(record.partition for record in records)
    yield measure_plain_loop(workspace, ends, warm)
    yield measure_stock_faust(workspace, ends, warm)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.e2e", description="Measure the evaluator on a real broker.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute")
    parser.add_argument("--broker", help="bootstrap address; by default one is started for the run")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    with _broker(arguments.broker) as broker:
        _run(broker, arguments.parts or list(PARTS), arguments.quick)


if __name__ == "__main__":
    main()
