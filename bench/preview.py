"""How long a preview takes on the running stack, from the request at console to the exact count.

Contacts are written to Kafka, evaluated, and then a segment is edited as a person types it: each draft is another
expression. Every count is compared with one made here in plain Python, without the product's language. The first
preview is shown apart, with the partial answers that a dashboard gets meanwhile: at once after the writes it reads all
contacts itself; after some rest the evaluator has read them in its spare time.

`python -m bench.preview [--contacts 100000 1000000] [--drafts 60] [--rest-s 0]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from confluent_kafka import Producer

from bench.stopping import exit_at_sigterm
from bench.waiting import until
from deploy.local.plan import StackPorts
from deploy.local.ports import free_base
from schemas.partitioner import partition_for_key
from schemas.topics import Topic, topic_name

Attributes = dict[str, Any]
Draft = tuple[str, Callable[[Attributes], bool]]

PARTITIONS = 8
PLANS = ("free", "pro", "enterprise", "Team")
COUNTRIES = ("US", "CA", "UK", "NO", "DE", "FR", "BR", "JP", "IN", "AU")
QUEUE_RECORDS_MAX = 200_000
EVALUATED_TIMEOUT_S = 1_200
HTTP_TIMEOUT_S = 120
PATIENCE_MS = 600
PATIENCE_MS_MAX = 4_000
GOAL_MS = 1_000.0
DAY_S = 86_400
MIB = 1 << 20


def main() -> int:
    exit_at_sigterm()
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--contacts", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments.add_argument("--drafts", type=int, default=60)
    arguments.add_argument("--rest-s", type=float, default=0.0, help="Between the writes and the first preview.")
    options = arguments.parse_args()
    return max([_measure(contacts, options.drafts, options.rest_s) for contacts in options.contacts])


def _measure(contacts: int, drafts: int, rest_s: float) -> int:
    base = free_base(StackPorts.SPAN)
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder, (Path(folder) / "log").open("w") as log:
        command = [sys.executable, "-m", "tidegate.cli.main", "up", "--json", "--ephemeral"]
        stack = subprocess.Popen(
            [*command, "--partitions", str(PARTITIONS), "--port-base", str(base)],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            line = stack.stdout.readline() if stack.stdout is not None else ""
            if not line:
                raise SystemExit((Path(folder) / "log").read_text())
            return _edit(json.loads(line), contacts, drafts, rest_s, psutil.Process(stack.pid))
        finally:
            stack.terminate()
            stack.wait()


def _taken(stack: psutil.Process) -> tuple[float, float]:
    """Processor seconds of the evaluator so far, and MiB that it holds now."""
    evaluator = next(each for each in stack.children(recursive=True) if "services.evaluator" in each.cmdline())
    times = evaluator.cpu_times()
    return times.user + times.system, evaluator.memory_info().rss / MIB


def _edit(system: dict[str, Any], contacts: int, drafts: int, rest_s: float, stack: psutil.Process) -> int:
    """Write the contacts, then ask for one draft after the other; 1 when a count is wrong or the goal is missed."""
    begun = datetime.now(UTC).replace(microsecond=0)
    people = [_attributes(number, begun) for number in range(contacts)]
    with httpx.Client(
        base_url=system["console"] + "/api/v2", headers={"Authorization": f"Bearer {system['key']}"},
        timeout=HTTP_TIMEOUT_S,
    ) as http:  # fmt: skip
        saved = {"id": "saved", "where": "plan is pro"}
        http.post("/segments", json=saved).raise_for_status()
        seconds = _write(system["kafka"], people, http)
        print(
            f"\n{contacts:,} contacts in {PARTITIONS} partitions, written and evaluated in {seconds:.0f} s", flush=True
        )
        began_s, began_mib = _taken(stack)
        time.sleep(rest_s)
        rested_s, rested_mib = _taken(stack)
        if rest_s:
            print(f"{rest_s:.0f} s of rest: evaluator took {rested_s - began_s:.1f} s of processor time, "
                  f"{began_mib:.0f} → {rested_mib:.0f} MiB", flush=True)  # fmt: skip
        _first(http, people)
        first_s, first_mib = _taken(stack)
        took_s, grown_mib = first_s - rested_s, first_mib - rested_mib
        print(f"it took the evaluator {took_s:.1f} s of processor time, {grown_mib:+.0f} MiB")
        took: list[float] = []
        for where, holds in _drafts(drafts):
            began = time.perf_counter()
            answer = http.post("/segments/preview", json={"where": where, "id": "saved"})
            took.append((time.perf_counter() - began) * 1_000)
            if not answer.is_success:
                raise SystemExit(f"{where}: {answer.status_code} {answer.text}")
            _verify(answer.json(), where, holds, people)
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    print(f"{drafts} drafts, each count exact: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, max {max(took):.0f} ms")
    within = cuts[98] <= GOAL_MS
    print(f"goal {GOAL_MS:.0f} ms at p99: {'met' if within else 'MISSED'}", flush=True)
    return 0 if within else 1


def _attributes(number: int, now: datetime) -> Attributes:
    active = now - timedelta(seconds=(number * 7_919) % (60 * DAY_S) + 1_800)
    person: Attributes = {
        "plan": PLANS[number * 31 % 4], "country": COUNTRIES[number * 17 % 10], "mrr": number * 13 % 30_000 / 100,
        "email": f"u{number}@{'acme' if number % 5 else 'globex'}.example", "last_active": active.isoformat(),
        "email_verified": number % 2 == 0,
    }  # fmt: skip
    return {name: value for place, (name, value) in enumerate(person.items()) if (number + place) % 50}


def _write(bootstrap: str, people: list[Attributes], http: httpx.Client) -> float:
    """Produce every contact and wait until all are evaluated; seconds taken."""
    began = time.perf_counter()
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": QUEUE_RECORDS_MAX}
    )
    for number, attributes in enumerate(people):
        key = f"u{number}".encode()
        value = json.dumps({"attributes": attributes}).encode()
        while True:
            try:
                producer.produce(
                    topic_name("", Topic.CONTACT_CHANGES), key=key, value=value,
                    partition=partition_for_key(key, PARTITIONS),
                )  # fmt: skip
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    producer.flush()

    def evaluated() -> bool:
        status = http.get("/status").json()
        return bool(status["contacts"] >= len(people) and status["complete"])

    until(evaluated, EVALUATED_TIMEOUT_S, f"all {len(people):,} contacts to be evaluated", every_s=0.5)
    return time.perf_counter() - began


def _first(http: httpx.Client, people: list[Attributes]) -> None:
    """The first preview, asked for as the dashboard does: by parts, until it speaks of every contact."""
    began, first_ms, asked, patience_ms = time.perf_counter(), 0.0, 0, PATIENCE_MS
    while True:
        answer = http.post(f"/segments/preview?within_ms={patience_ms}", json={"where": "plan is pro"})
        patience_ms = min(2 * patience_ms, PATIENCE_MS_MAX)
        found = answer.raise_for_status().json()
        asked += 1
        first_ms = first_ms or (time.perf_counter() - began) * 1_000
        if found["complete"]:
            break
    _verify({"would_enter": 0, "would_leave": 0, **found}, "plan is pro", None, people)
    whole_s = time.perf_counter() - began
    print(f"first preview: first answer {first_ms:.0f} ms, whole after {whole_s:.1f} s in {asked} answers", flush=True)


def _drafts(count: int) -> Iterator[Draft]:
    """What a person who types asks for: numbers, texts and durations that grow by a key."""
    for step in range(count):
        number = step * 4 + 1
        week = step % 40 + 1
        part = f"u{step}"
        yield (
            (f"plan is pro AND mrr > {number}", lambda a, n=number: _is(a, "plan", "pro") and a.get("mrr", -1) > n),
            (f"last_active within last {week} days", lambda a, d=week: _age(a) < d * DAY_S),
            (f'email contains "{part}"', lambda a, t=part: t in a.get("email", "")),
            (
                f"country in [US, CA, NO] AND NOT plan is free AND (email_verified OR mrr < {number})",
                lambda a, n=number: (
                    a.get("country") in ("US", "CA", "NO")
                    and not _is(a, "plan", "free")
                    and (a.get("email_verified", False) or a.get("mrr", 1e9) < n)
                ),
            ),
            (f"mrr between {step} and {number + 50}", lambda a, s=step, n=number: s <= a.get("mrr", -1) <= n + 50),
        )[step % 5]


def _is(attributes: Attributes, name: str, wanted: str) -> bool:
    return bool(attributes.get(name, "").casefold() == wanted)


def _age(attributes: Attributes) -> float:
    written = attributes.get("last_active")
    return float("inf") if written is None else (datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds()


def _verify(
    found: dict[str, Any], where: str, holds: Callable[[Attributes], bool] | None, people: list[Attributes]
) -> None:
    """Compare with a count made here. Ages may differ by what time passes between the two."""
    saved = [_is(person, "plan", "pro") for person in people]
    truth = saved if holds is None else [holds(person) for person in people]
    expected = {"matched": sum(truth), "total": len(people), "counted": len(people)}
    if holds is not None:
        pairs = list(zip(truth, saved, strict=True))
        expected["would_enter"] = sum(is_in and not was for is_in, was in pairs)
        expected["would_leave"] = sum(was and not is_in for is_in, was in pairs)
    slack = len(people) // 10_000 + 2 if "within" in where else 0
    wrong = {name: (found[name], number) for name, number in expected.items() if abs(found[name] - number) > slack}
    if wrong:
        raise SystemExit(f"{where}: found and expected differ: {wrong}")


if __name__ == "__main__":
    sys.exit(main())
