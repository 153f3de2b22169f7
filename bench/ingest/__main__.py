"""`python -m bench.ingest`: single writes a second, latency at a fixed rate, and batches of 100.

Starts one ingest process of its own beside a broker: the one named by `--bootstrap`, else one of its own.
Rule: prints what it measured and what is promised; a promise that is missed ends with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil

from bench.ingest.load import Measured, request, run
from bench.stopping import exit_at_sigterm
from bench.waiting import until
from deploy.local.kafka import LocalKafka
from deploy.local.ports import free_ports
from services.runtime.keys import KEY_FILE_NAME, KeyFile, Scope
from services.runtime.logs import configure_logs
from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics

SINGLES_PER_S_MIN = 2_000
BATCHED_CONTACTS_PER_S_MIN = 20_000
BATCH = 100
START_WAIT_S = 30
READY_POLL_S = 0.1


def contact(number: int) -> dict[str, object]:
    """A contact as an application writes it."""
    attributes = {"plan": "pro", "mrr": number % 500, "last_active": "2026-05-01T12:00:00Z", "email_verified": True}
    return {"id": f"u_{number % 100_000}", "attributes": attributes}


def show(name: str, measured: Measured, contacts_each: int = 1) -> None:
    """One line of the result. `CPU` is ingest's own, which other load on the machine changes little."""
    contacts_per_s = measured.requests_per_s * contacts_each
    print(
        f"{name:<28} {measured.requests_per_s:>9,.0f} requests/s {contacts_per_s:>9,.0f} contacts/s   "
        f"p50 {measured.percentile_ms(0.5):>6.1f}  p99 {measured.percentile_ms(0.99):>6.1f}  "
        f"max {measured.percentile_ms(1):>6.1f} ms   "
        f"CPU {measured.service_cpu_s / len(measured.latencies_s) * 1e6:>5.0f} µs/request   {measured.statuses}",
        flush=True,
    )


async def measure(url: str, token: str, service: psutil.Process, quick: bool) -> bool:
    """All runs; whether every promise was kept."""
    contacts_url = f"{url}/api/v2/contacts"
    scale = 1 if quick else 5
    singles = [request(contacts_url, token, orjson.dumps(contact(n))) for n in range(4_000 * scale)]
    await run(contacts_url, singles[:1_000], 16, service)
    flat_out = await run(contacts_url, singles, 32, service)
    show("single, as fast as it goes", flat_out)
    for rate in (200, 1_000, SINGLES_PER_S_MIN):
        paced = await run(contacts_url, singles[: min(len(singles), rate * 2 * scale)], 64, service, rate)
        show(f"single, {rate:,}/s", paced)
    bodies = [
        orjson.dumps({"contacts": [contact(batch * BATCH + n) for n in range(BATCH)]}) for batch in range(300 * scale)
    ]
    batches = await run(contacts_url, [request(contacts_url, token, body) for body in bodies], 8, service)
    show(f"batches of {BATCH}", batches, BATCH)
    return (
        flat_out.requests_per_s >= SINGLES_PER_S_MIN
        and batches.requests_per_s * BATCH >= BATCHED_CONTACTS_PER_S_MIN
        and set(flat_out.statuses) | set(batches.statuses) == {202}
    )


@contextlib.contextmanager
def broker(bootstrap: str | None, directory: Path) -> Iterator[str]:
    """The named broker, or one of our own."""
    if bootstrap is not None:
        yield bootstrap
        return
    port, controller_port = free_ports(2)
    kafka = LocalKafka(directory / "kafka", port, controller_port, say=lambda line: print(line, file=sys.stderr))
    kafka.start()
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


@contextlib.contextmanager
def ingest(bootstrap: str, directory: Path) -> Iterator[tuple[str, str, psutil.Process]]:
    """One ingest process: its address, a key and the process."""
    settings = RuntimeSettings(kafka_bootstrap=bootstrap, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}-")
    asyncio.run(ensure_topics(settings))
    token = KeyFile(directory / KEY_FILE_NAME).create("bench", frozenset(Scope)).token
    port, admin_port = free_ports(2)
    environment = {
        **os.environ,
        "TIDEGATE_KAFKA_BOOTSTRAP": bootstrap,
        "TIDEGATE_TOPIC_PREFIX": settings.topic_prefix,
        "TIDEGATE_DATA_DIR": str(directory),
        "TIDEGATE_INGEST_PORT": str(port),
        "TIDEGATE_ADMIN_PORT": str(admin_port),
        "TIDEGATE_RATE_LIMIT_PER_S": "1000000",
        "TIDEGATE_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment)
    try:
        until(lambda: is_ready(process, admin_port), START_WAIT_S, "ingest to be ready", READY_POLL_S)
        yield f"http://127.0.0.1:{port}", token, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def is_ready(process: subprocess.Popen[bytes], admin_port: int) -> bool:
    """Whether a process that still runs says that it is ready."""
    if process.poll() is not None:
        raise SystemExit(f"ingest ended with code {process.returncode} before it was ready")
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/ready", timeout=1).close()
        return True
    return False


def main() -> None:
    """Measure and print."""
    exit_at_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--bootstrap", help="a broker to use instead of one of our own")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work")
    options = parser.parse_args()
    configure_logs("bench", level="WARNING", stream=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with broker(options.bootstrap, directory) as bootstrap, ingest(bootstrap, directory) as (url, token, service):
            kept = asyncio.run(measure(url, token, service, options.quick))
    print("promises kept" if kept else "a promise was missed")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
