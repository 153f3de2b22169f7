"""`tidegate bench`: a load of writes against a running stack, and how long each takes to become a membership change.

Rule: writes are due at fixed instants and timed from those, so that a slow answer does not hide the ones behind it. It
works on a segment and contacts of its own and removes both at the end. Every change is counted: one that does not come
is a failure.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from tidegate.cli.connection import EXIT_REFUSED, AsJson, Key, Url, talk
from tidegate.cli.output import complain, print_json, print_table, say
from tidegate.client import Tidegate
from tidegate.definition import segment
from tidegate.errors import TidegateError

app = typer.Typer(add_completion=False)

RATE_MAX: Final = 5_000
SECONDS_MAX: Final = 3_600
WRITES_MAX: Final = 1_000_000
IN_FLIGHT_MAX: Final = 256
SETTLE_S: Final = 60.0
"""How long a segment without contacts may take until every partition knows it."""
SILENCE_S: Final = 20.0
"""With no change for so long, those that are missing count as lost; a busy system is slow, and not silent."""
PERCENTILES: Final = (50, 95, 99)
ON: Final = "on"


@dataclass
class Load:
    """What was sent, and what came of it. Units: seconds; a write's number is its key."""

    due: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    changed: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    whole: asyncio.Event = field(default_factory=asyncio.Event)


@app.command()
def bench(
    rate: Annotated[int, typer.Option("--rate", min=1, max=RATE_MAX, help="Writes a second.")] = 200,
    seconds: Annotated[int, typer.Option("--seconds", min=1, max=SECONDS_MAX, help="For how long.")] = 10,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Write at a steady rate and time each write until its membership change is told; nothing of it stays."""
    if rate * seconds > WRITES_MAX:
        raise typer.BadParameter(f"that is {rate * seconds:,} writes; at most {WRITES_MAX:,} at once")
    result = talk(lambda tidegate: _measured(tidegate, rate, seconds), url, key)
    if as_json:
        print_json(result)
    else:
        _show(result)
    if result["lost"] or result["refused"]:
        complain(f"{result['lost']:,} changes did not come, {result['refused']:,} writes were refused")
        raise typer.Exit(EXIT_REFUSED)


async def _measured(tidegate: Tidegate, rate: int, seconds: int) -> dict[str, Any]:
    name = f"bench-{secrets.token_hex(4)}"
    made = await tidegate.create_segment(segment(name, where=[{name: ON}], name="A load test; removed at its end"))
    load = Load()
    try:
        await _settled(tidegate, name)
        async with aclosing(tidegate.events(segment_id=name)) as events:
            await anext(events)
            listening = asyncio.create_task(_listen(events, load, rate * seconds))
            try:
                began = time.perf_counter()
                await _write(tidegate, name, rate, rate * seconds, load)
                written_s = time.perf_counter() - began
                await _last_changes(listening, load)
            finally:
                await _ended(listening)  # nobody reads the stream any more when it is closed
    finally:
        await _remove(tidegate, name, made.etag, load)
    return _summary(load, rate, seconds, written_s)


async def _settled(tidegate: Tidegate, name: str) -> None:
    """Wait until every partition knows the segment: a change before that is the definition's, not a write's."""
    until = time.perf_counter() + SETTLE_S
    while True:
        found = await tidegate.segment(name)
        if found.members is not None and not (found.model_extra or {}).get("settling"):
            return
        if time.perf_counter() > until:
            raise TidegateError(f"segment {name} did not settle within {SETTLE_S:.0f} s; see `tidegate doctor`")
        await asyncio.sleep(0.1)


async def _write(tidegate: Tidegate, name: str, rate: int, writes: int, load: Load) -> None:
    """Send each write when it is due, however long the ones before take, up to a bound in flight."""
    turns = asyncio.Semaphore(IN_FLIGHT_MAX)
    began = time.perf_counter()

    async def one(number: int) -> None:
        try:
            await tidegate.set_contact(f"{name}-{number}", {name: ON})
            load.answered[number] = time.perf_counter()
        except TidegateError:
            load.refused += 1
        finally:
            turns.release()

    async with asyncio.TaskGroup() as sending:
        for number in range(writes):
            load.due[number] = began + number / rate
            wait_s = load.due[number] - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await turns.acquire()
            sending.create_task(one(number))


async def _listen(events: Any, load: Load, writes: int) -> None:
    async for event in events:
        if event.name == "change" and event.data["change"] == "enter":
            number = int(event.data["contact_id"].rpartition("-")[2])
            load.changed.setdefault(number, time.perf_counter())
            if len(load.changed) == writes:
                load.whole.set()


async def _last_changes(listening: asyncio.Task[None], load: Load) -> None:
    """Wait for what is still to come, as long as something comes; a stream that ends by itself is not waited for."""
    whole = asyncio.create_task(load.whole.wait())
    came, done = -1, False
    while not done and len(load.changed) > came:
        came = len(load.changed)
        ended, _ = await asyncio.wait({whole, listening}, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
        done = bool(ended)
    await _ended(whole, listening)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _remove(tidegate: Tidegate, name: str, etag: str, load: Load) -> None:
    await tidegate.delete_segment(name, etag=etag)
    turns = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def erase(number: int) -> None:
        async with turns:
            await tidegate.delete_contact(f"{name}-{number}")

    await asyncio.gather(*(erase(number) for number in load.due))


def _summary(load: Load, rate: int, seconds: int, written_s: float) -> dict[str, Any]:
    return {
        "rate_per_s": rate,
        "seconds": seconds,
        "writes": len(load.due),
        "refused": load.refused,
        "changes": len(load.changed),
        "lost": len(load.answered.keys() - load.changed.keys()),
        "achieved_per_s": round(len(load.answered) / written_s, 1),
        "accepted_ms": _latencies(load.due, load.answered),
        "changed_ms": _latencies(load.due, load.changed),
    }


def _latencies(due: dict[int, float], done: dict[int, float]) -> dict[str, float]:
    taken = sorted((at - due[number]) * 1_000 for number, at in done.items())
    if not taken:
        return {}
    found = {f"p{percent}": taken[min(len(taken) - 1, len(taken) * percent // 100)] for percent in PERCENTILES}
    return {name: round(value, 1) for name, value in {**found, "max": taken[-1]}.items()}


def _show(result: dict[str, Any]) -> None:
    say(
        f"{result['writes']:,} writes at {result['rate_per_s']:,}/s for {result['seconds']} s: "
        f"{result['achieved_per_s']:,}/s achieved, {result['changes']:,} changes"
    )
    columns = [f"p{percent}" for percent in PERCENTILES] + ["max"]
    rows = [
        (what, *(f"{result[name].get(column, 0):,.1f}" for column in columns))
        for what, name in (("write to 202, ms", "accepted_ms"), ("write to change, ms", "changed_ms"))
    ]
    print_table(("", *columns), rows, numbers=(1, 2, 3, 4))
