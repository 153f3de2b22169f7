"""`tidegate doctor`: is everything there, and if not, what to do.

Rule: each check is one line, ok or what to do; a check that depends on a failed one is not guessed at. Ends with 0 only
if all is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import typer

from tidegate.cli.connection import EXIT_UNREACHABLE, AsJson, Key, Url, service_key, service_url
from tidegate.cli.output import print_json, print_line
from tidegate.client import Tidegate
from tidegate.errors import NotAllowedError, TidegateError

app = typer.Typer(add_completion=False)

LAG_MAX_MS: Final = 60_000
"""Evaluation further behind than this is worth a look."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` is empty when all is well."""

    name: str
    ok: bool
    found: str
    advice: str = ""


@app.command()
def doctor(url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Check the service, the key, every partition and its lag."""
    checks = asyncio.run(_examine(service_url(url), service_key(key)))
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


async def _examine(url: str, key: str | None) -> list[Check]:
    async with Tidegate(url, key=key) as tidegate:
        return [check async for check in _checks(tidegate, url)]


async def _checks(tidegate: Tidegate, url: str) -> AsyncIterator[Check]:
    try:
        status = await tidegate.status()
    except NotAllowedError as error:
        yield Check("console", ok=True, found=f"answers at {url}")
        yield Check("key", ok=False, found=str(error), advice="set TIDEGATE_API_KEY, or ask for a key with this scope")
        return
    except TidegateError as error:
        yield Check("console", ok=False, found=str(error), advice="pass --url if it listens elsewhere")
        return
    yield Check("console", ok=True, found=f"answers at {url}")
    yield Check("key", ok=True, found="is known")
    for check in _partitions(status):
        yield check
    try:
        segments = await tidegate.segments()
    except TidegateError as error:
        yield Check("ingest", ok=False, found=str(error), advice="look at the ingest service's log and its /ready")
        return
    settling = sum(1 for segment in segments if (segment.model_extra or {}).get("settling"))
    yield Check("ingest", ok=True, found=f"answers; {len(segments)} segments, {settling} settling")


def _partitions(status: dict[str, Any]) -> list[Check]:
    """What the evaluators say about their partitions."""
    expected, parts = status["partitions_expected"], status["partitions"]
    served = [part for part in parts if part["state"] == "ready"]
    behind = [part for part in served if part["lag_ms"] > LAG_MAX_MS]
    missing = expected - len(served)
    return [
        Check(
            "evaluator",
            ok=missing == 0,
            found=f"{len(served)} of {expected} partitions are served",
            advice=f"{missing} are recovering or have no owner; if this lasts, look at the evaluators' logs"
            if missing
            else "",
        ),
        Check(
            "lag",
            ok=not behind,
            found=f"{sum(part['lag_records'] for part in served):,} records, at most "
            f"{max((part['lag_ms'] for part in served), default=0):,} ms",
            advice="evaluation is behind: add evaluators, or see what one is busy with" if behind else "",
        ),
        Check(
            "dead letters",
            ok=True,
            found=f"{status['dead_letters']:,} since the owners started",
        ),
    ]
