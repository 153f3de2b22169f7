"""`python -m bench.e2e [part …] [--quick] [--contacts …] [--segments …] [--rates …]`: one table a section, with goals.

By default about 25 minutes on a quiet machine: a backlog of 20,000 contacts with every number of segments; recovery of
1,000,000 contacts with 100, and then their backlog; latency at every rate; takeover; a burst of deadlines. Name
`--contacts 20000 1000000` for the whole matrix of backlogs, which takes an hour and a half.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.e2e.backlog import Backlog, Work, filled, measure_backlog
from bench.e2e.burst import measure_burst
from bench.e2e.latency import PROBED_EVERY, measure_latency
from bench.e2e.peers import PeerRate
from bench.e2e.recovery import RecoveryTime, measure_recovery
from bench.e2e.report import (
    BACKLOG_GOALS_PER_S,
    BURST_GROWTH_MAX,
    LATENCY_GOALS_MS,
    NO_GOAL,
    RECOVERED_CONTACTS,
    WARM_GOAL_S,
    WIPED_GOAL_S,
    Table,
    at_least,
    at_most,
)
from bench.e2e.takeover import measure_takeovers
from bench.stopping import exit_at_sigterm
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from deploy.local.say import to_standard_error

PARTS = ("backlog", "recovery", "latency", "takeover", "burst")
PARTITIONS = 8
FEW = 20_000
SEGMENTS = (10, 100, 1_000, 10_000)
RECOVERED_SEGMENTS, RECOVERED_UPDATES = 100, 100_000
LATENCY_SEGMENTS = 1_000
RATES_PER_S = (50, 200, 1_000, 3_000)
UPDATES = {10: 300_000, 100: 300_000, 1_000: 200_000, 10_000: 60_000}
PEER_UPDATES = {10: 60_000, 100: 60_000, 1_000: 20_000, 10_000: 1_000}
"""Few enough that a peer takes about a minute; at 10,000 segments the contacts alone take the faster one longer."""
LATENCY_TITLES = (
    "writes/s",
    "isolation       ",
    "p50",
    "p99",
    "p99.9",
    "longest",
    "sender p99",
    "goal of p50",
    "goal of p99 ",
)
SECONDS, QUICK_SECONDS = 20.0, 6.0


@contextmanager
def _broker(named: str | None) -> Iterator[str]:
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory() as directory:
        port, controller_port = free_ports(2)
        kafka = LocalKafka(Path(directory), port, controller_port, to_standard_error, as_in_production=True)
        kafka.start()
        try:
            yield kafka.bootstrap
        finally:
            kafka.stop()


def _works(arguments: argparse.Namespace) -> list[Work]:
    if arguments.quick:
        return [Work(2_000, 100, 40_000, 5_000, with_faust=True)]
    works = []
    for contacts in arguments.contacts or (FEW,):
        for segments in arguments.segments or SEGMENTS:
            updates = UPDATES.get(segments, 100_000)
            peers = PEER_UPDATES.get(segments, 0) if contacts <= FEW else 0
            works.append(Work(contacts, segments, updates, peers, with_faust=segments <= 1_000))
    return works


def _backlog(broker: str, works: list[Work]) -> None:
    table = _backlog_table()
    for work in works:
        with filled(broker, PARTITIONS, work) as found:
            for one in measure_backlog(found, work):
                _backlog_row(table, work, one)


def _recovery(broker: str, contacts: int) -> None:
    """Recover, then work off a backlog: what is published from a state that was recovered wrongly is found wrong."""
    work = Work(contacts, RECOVERED_SEGMENTS, RECOVERED_UPDATES)
    with filled(broker, PARTITIONS, work) as found:
        _recovery_rows(measure_recovery(found))
        table = _backlog_table()
        for one in measure_backlog(found, work):
            _backlog_row(table, work, one)


def _backlog_table() -> Table:
    return Table(
        f"BACKLOG on {PARTITIONS} partitions, one process. Ours and the peers read the same topic, and what each\n"
        "published was judged by the same checker, which looks at members and changes: see below each row",
        ("contacts x segments", " " * 40, "writes/s", "us CPU", "MiB", "goal"),
    )


def _backlog_row(table: Table, work: Work, one: Backlog | PeerRate) -> None:
    size = f"{work.contacts:,} x {work.segments:,}"
    if isinstance(one, PeerRate):
        table.row(size, one.name, f"{one.rate_per_s:,.0f}", "", "", NO_GOAL, note=str(one.judged))
        return
    goal = BACKLOG_GOALS_PER_S.get(work.segments) if work.contacts <= FEW else None
    cells = (f"{one.rate_per_s:,.0f}", f"{one.cpu_us_per_update:.1f}", f"{one.rss_mib:.0f}")
    note = f"{one.judged}; {one.stages}"
    table.row(size, "tidegate, transactions and persistence", *cells, at_least(one.rate_per_s, goal), note=note)


def _recovery_rows(found: RecoveryTime) -> None:
    table = Table(
        f"RECOVERY of {found.contacts:,} contacts, {found.records:,} changelog records",
        ("disk", "recovered s", "with start s", "MiB", "goal" + " " * 12),
    )
    has_goal = found.contacts >= RECOVERED_CONTACTS
    wiped, warm = f"{found.wiped_s:.2f}", f"{found.warm_s:.2f}"
    goal = at_most(found.wiped_s, WIPED_GOAL_S if has_goal else None, " s")
    table.row("wiped", wiped, f"{found.wiped_process_s:.2f}", f"{found.rss_mib:.0f}", goal)
    goal = at_most(found.warm_s, WARM_GOAL_S if has_goal else None, " s")
    table.row("warm", warm, f"{found.warm_process_s:.2f}", f"{found.warm_rss_mib:.0f}", goal)


def _latency(broker: str, arguments: argparse.Namespace, seconds: float) -> None:
    segments = (arguments.segments or [100 if arguments.quick else LATENCY_SEGMENTS])[0]
    rates = arguments.rates or ((200, 1_000) if arguments.quick else RATES_PER_S)
    table = Table(
        f"LATENCY in ms, open loop, from a write's planned instant to its change read; {FEW:,} contacts, "
        f"{segments:,} segments; one write in {arguments.probed_every} is timed",
        LATENCY_TITLES,
    )
    for at_rate in measure_latency(broker, PARTITIONS, FEW, segments, rates, seconds, arguments.probed_every):
        share = f"{at_rate.cpu_share:.0%} of a core, {at_rate.commits_per_s:.0f} commits/s; {at_rate.stages}"
        for one in at_rate.readers:
            p50, p99 = LATENCY_GOALS_MS.get((one.rate_per_s, one.isolation), (None, None))
            cells = [f"{value:.1f}" for value in (one.p50, one.p99, one.p999, one.longest, one.sender_late)]
            goals = at_most(one.p50, p50), at_most(one.p99, p99)
            note = share if one is at_rate.readers[-1] else ""
            table.row(f"{one.rate_per_s:,}", one.isolation, *cells, *goals, note=note)


def _takeover(broker: str) -> None:
    table = Table(
        "TAKEOVER: the longest that any write waited, 100 writes/s",
        ("event" + " " * 45, "s", "writes", "goal" + " " * 12),
    )
    for one in measure_takeovers(broker, PARTITIONS):
        table.row(one.event, f"{one.longest_s:.2f}", str(one.writes), at_most(one.longest_s, one.goal_s, " s"))


def _burst(broker: str, quick: bool, seconds: float) -> None:
    burst = measure_burst(broker, PARTITIONS, 10_000 if quick else 100_000, seconds)
    table = Table(
        f"BURST of {burst.deadlines:,} deadlines at one instant; 200 live writes/s beside it, uncommitted, ms",
        ("live writes", "p50", "p99", "longest", "goal of p99 "),
    )
    for name, one, goal in (
        ("before", burst.before, None),
        ("across it", burst.across, BURST_GROWTH_MAX * burst.before.p99),
    ):
        table.row(name, f"{one.p50:.1f}", f"{one.p99:.1f}", f"{one.longest:.1f}", at_most(one.p99, goal))
    print(f"  all of its changes were committed and read {burst.published_s:.1f} s after the instant", flush=True)


def main() -> None:
    """Parse the command line and measure."""
    exit_at_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.e2e", description="Measure the evaluator on a real broker.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, a few minutes")
    parser.add_argument("--contacts", type=int, nargs="+", help="of the backlog")
    parser.add_argument("--recovered", type=int, help="contacts to recover; a million by default")
    parser.add_argument("--segments", type=int, nargs="+", help="of the backlog; the first is that of latency")
    parser.add_argument("--rates", type=int, nargs="+", help="writes a second of latency")
    parser.add_argument("--seconds", type=float, help="how long each rate is sent")
    parser.add_argument(
        "--probed-every",
        type=int,
        default=PROBED_EVERY,
        help="one write in so many is timed; 1 has each change something",
    )
    parser.add_argument("--broker", help="bootstrap address; by default one is started for the run")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    parts = arguments.parts or PARTS
    seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    with _broker(arguments.broker) as broker:
        # The broker compiles its code as it runs: what is timed most finely comes when it is warm.
        if "takeover" in parts:
            _takeover(broker)
        if "burst" in parts:
            _burst(broker, arguments.quick, seconds)
        if "latency" in parts:
            _latency(broker, arguments, seconds)
        if "backlog" in parts:
            _backlog(broker, _works(arguments))
        if "recovery" in parts:
            _recovery(broker, arguments.recovered or (FEW if arguments.quick else RECOVERED_CONTACTS))


if __name__ == "__main__":
    main()
