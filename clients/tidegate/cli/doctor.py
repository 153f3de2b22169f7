"""`tidegate doctor`: is everything there, and if not, what to do.

Rule: each check is one line, ok or what to do; a check that depends on a failed one is not guessed at. Ends with 0 only
if all is well. What the broker shows is looked at in `doctor_kafka`.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import httpx
import typer

from tidegate.cli.connection import (
    EXIT_UNREACHABLE,
    AsJson,
    Key,
    Url,
    an_address,
    data_directory,
    fail,
    local_stack,
    service_key,
    service_url,
)
from tidegate.cli.output import print_json, print_line
from tidegate.client import Tidegate
from tidegate.errors import NotAllowedError, TidegateError
from tidegate.transport import connections

app = typer.Typer(add_completion=False)

LAG_MAX_MS: Final = 60_000
"""Evaluation further behind than this is worth a look."""
DISK_FREE_MIN_BYTES: Final = 1 << 30
READY_TIMEOUT_S: Final = 5.0
READY_EXAMPLE: Final = "http://127.0.0.1:9090/ready"
NO_BROKERS: Final = (
    "brokers are host:port, comma separated; a user and a password belong to TIDEGATE_KAFKA_SASL_USERNAME and "
    "TIDEGATE_KAFKA_SASL_PASSWORD"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` is empty when all is well."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@app.command()
def doctor(
    url: Url = None,
    key: Key = None,
    kafka: Annotated[
        str | None, typer.Option(help="Broker. Default: the local stack's.", envvar="TIDEGATE_KAFKA_BOOTSTRAP")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Topic prefix.", envvar="TIDEGATE_TOPIC_PREFIX")] = "",
    ready: Annotated[
        list[str] | None, typer.Option(help="A service's /ready address; repeated. Default: the local stack's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the services, the key, the broker, every topic, the ticks, every partition and its lag."""
    named = [an_address(each, "--ready", READY_EXAMPLE) for each in ready or ()]
    if kafka and ("@" in kafka or "/" in kafka):
        raise typer.BadParameter(NO_BROKERS, param_hint="--kafka")
    stack = local_stack()
    services = {each: each for each in named} if named else dict(stack.get("ready", {}))
    examined = _examine(service_url(url), service_key(key), services, kafka or stack.get("kafka"), prefix)
    try:
        checks = asyncio.run(examined)
    except TidegateError as error:
        fail(error)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            print_line(
                ("ok    " if check.ok else "wrong ", "green" if check.ok else "bold red"),
                (f"{check.name}: {check.found}", ""),
                (f" - {check.advice}" if check.advice else "", "yellow"),
            )
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_UNREACHABLE)


async def _examine(
    url: str, key: str | None, services: Mapping[str, str], bootstrap: str | None, prefix: str
) -> list[Check]:
    checks = [check for name, address in services.items() async for check in _readiness(name, address)]
    status: dict[str, Any] | None = None
    asked_at = time.monotonic()
    async with Tidegate(url, key=key) as tidegate:
        try:
            status = await tidegate.status(probe=True)
        except NotAllowedError as error:
            advice = "set TIDEGATE_API_KEY, or ask for a key with this scope"
            checks += [Check("console", True, f"answers at {url}"), Check("key", False, str(error), advice)]
        except TidegateError as error:
            checks.append(Check("console", False, str(error), "pass --url if it listens elsewhere"))
        else:
            checks += [Check("console", True, f"answers at {url}"), Check("key", True, "is known")]
            checks += [*_partitions(status), await _ingest(tidegate)]
    if bootstrap is not None:
        from tidegate.cli.doctor_kafka import examine_broker

        checks += await examine_broker(bootstrap, prefix, status, asked_at)
    if services and data_directory().is_dir():
        checks.append(_disk())
    return checks


async def _readiness(name: str, address: str) -> AsyncIterator[Check]:
    """What a service says about itself."""
    try:
        async with connections(address, timeout=httpx.Timeout(READY_TIMEOUT_S)) as http:
            answer = await http.get(address)
    except httpx.HTTPError as error:
        yield Check(name, False, f"nothing answers at {address} ({type(error).__name__})", "start it; see its log")
        return
    try:
        said = answer.json()
        name, is_ready, reason = str(said["service"]), bool(said["ready"]), str(said["reason"])
    except (ValueError, KeyError, TypeError):
        advice = f"pass a service's own, such as {READY_EXAMPLE}"
        yield Check(name, False, f"{address} does not answer as /ready does", advice)
        return
    yield Check(name, is_ready, reason, "" if is_ready else "wait if it is starting; otherwise its log says more")


async def _ingest(tidegate: Tidegate) -> Check:
    try:
        segments = await tidegate.segments()
    except TidegateError as error:
        return Check("segments", False, str(error), "look at the ingest service's log and its /ready")
    settling = sum(1 for segment in segments if (segment.model_extra or {}).get("settling"))
    return Check("segments", True, f"{len(segments)}, {settling} settling")


def _disk() -> Check:
    """The local stack's data directory."""
    directory = data_directory()
    free = shutil.disk_usage(directory).free
    return Check(
        "disk",
        free >= DISK_FREE_MIN_BYTES,
        f"{free / (1 << 30):,.1f} GiB free at {directory}",
        "" if free >= DISK_FREE_MIN_BYTES else "free some: a full disk stops the broker and the evaluators",
    )


def _partitions(status: dict[str, Any]) -> list[Check]:
    """What the evaluators say about their partitions."""
    expected, parts = status["partitions_expected"], status["partitions"]
    ready = [part for part in parts if part["state"] == "ready"]
    served = [part for part in ready if part.get("answers") is not False]
    missing = expected - len(served)
    return [
        Check(
            "partitions",
            missing == 0,
            f"{len(served)} of {expected} partitions are served",
            _missing_says(missing, len(ready) - len(served)),
        ),
        *([_lag(served)] if served else []),
        Check(
            "dead letters",
            True,
            f"{status['dead_letters']:,} since the owners started",
            "read them: tidegate dead-letters list" if status["dead_letters"] else "",
        ),
    ]


def _lag(served: list[dict[str, Any]]) -> Check:
    """How far behind the partitions are that are served; what others last said of it is old."""
    lag_ms = max(part["lag_ms"] for part in served)
    advice = "evaluation is behind: add evaluators, or see what one is busy with" if lag_ms > LAG_MAX_MS else ""
    return Check(
        "lag", not advice, f"{sum(part['lag_records'] for part in served):,} records, at most {lag_ms:,} ms", advice
    )


def _missing_says(missing: int, silent: int) -> str:
    """What to do about partitions that are not served; of them, `silent` have an owner that does not answer."""
    if not missing:
        return ""
    if silent:
        return f"{silent} have an owner that does not answer: look at that evaluator's process and log"
    return f"{missing} are recovering or have no owner; if this lasts, look at the evaluators' logs"
