"""The demo: import the contacts, create the segments, stream orders, and show who enters and leaves.

Rule: everything goes through the public API, with the package that anybody can install. What is there already is kept:
a second start imports nothing and goes on with the next order. Every step that may take more than a second shows that
it is going on.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import platformdirs
from rich.console import Console

from examples.cdnow.orders import TYPES, Buyer, Order, as_csv, buyers_after, read_orders, split
from examples.cdnow.segments import SEGMENTS, sample_contacts
from tidegate import NotFoundError, Tidegate, TidegateError
from tidegate.cli.imports import follow_import
from tidegate.cli.output import complain, print_table, say
from tidegate.cli.tail import print_change
from tidegate.responses import Segment

ORDERS_PER_S: Final = 5
RECONNECT_S: Final = 1.0
SETTLE_POLL_S: Final = 0.3
SETTLE_TIMEOUT_S: Final = 90.0
CHUNK_BYTES: Final = 256 * 1024
PROGRESS_FILE: Final = "cdnow-orders-streamed"
ALL_STREAMED: Final = (
    "All orders have been streamed. What changes from now on, changes because time passes or because you write."
)


def run_demo(url: str, key: str, data_directory: str | None) -> int:
    """Run until interrupted; give the exit code."""
    try:
        asyncio.run(_demo(url, key, None if data_directory is None else Path(data_directory)))
    except TidegateError as error:
        complain(str(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    return 0


async def _demo(url: str, key: str, data_directory: Path | None) -> None:
    _stop_on_sigterm()
    today = datetime.now(UTC).date()
    with _going_on("reading 69,659 orders"):
        imported, live = split(read_orders(today), today)
        buyers = buyers_after(imported)
    async with Tidegate(url, key=key) as tidegate:
        await _load_contacts(tidegate, buyers)
        await _create_segments(tidegate)
        segments = await _settled(tidegate)
        progress = Progress(data_directory)
        _show(segments, url, key, data_directory)
        say(_outlook(progress.load(), len(live)))
        say("Every enter and exit is one line. Ctrl-C stops everything and keeps the data.")
        say("")
        listening = asyncio.create_task(_show_changes(tidegate))
        await asyncio.sleep(RECONNECT_S)
        await tidegate.set_contacts(sample_contacts(datetime.now(UTC)))
        streaming = asyncio.create_task(_stream(tidegate, buyers, live, progress))
        done, _ = await asyncio.wait({listening, streaming}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        await listening


class Progress:
    """How many orders have been streamed, over restarts. Without a directory it starts anew."""

    def __init__(self, directory: Path | None) -> None:
        self._file = None if directory is None else directory / PROGRESS_FILE

    def load(self) -> int:
        """The number of orders streamed so far. None, if a machine that went down left the file without it."""
        if self._file is None or not self._file.exists():
            return 0
        kept = self._file.read_text(encoding="ascii", errors="replace")
        return int(kept) if kept.isdecimal() else 0

    def save(self, streamed: int) -> None:
        """Remember the number of orders streamed so far. A crash leaves the number of before or this one.

        Errors: TidegateError when the folder takes no more.
        """
        if self._file is None:
            return
        beside = self._file.with_suffix(".new")
        try:
            beside.write_text(str(streamed))
            beside.replace(self._file)
        except OSError as error:
            reason = f"{self._file} cannot be written: {error.strerror}"
            raise TidegateError(f"{reason}; the next start goes on with the orders behind the last one kept") from error


async def _load_contacts(tidegate: Tidegate, buyers: dict[str, Buyer]) -> None:
    """Import the contacts as a CSV file, unless the last one of it is there already."""
    last = next(reversed(buyers))
    try:
        await tidegate.contact(last)
    except NotFoundError:
        pass
    else:
        say(f"{len(buyers):,} contacts are there from before")
        return
    params = {
        "commit": "true",
        "id_column": "contact_id",
        "filename": "cdnow-contacts.csv",
        "type": ["contact_id=text", *(f"{name}={kind}" for name, kind in TYPES.items())],
    }
    started = await tidegate.start_import(_chunks(as_csv(buyers.values())), params=params)
    ended = await follow_import(tidegate, started)
    say(f"imported {ended.accepted:,} contacts, {ended.rejected:,} rejected")
    if ended.state != "completed" or ended.accepted != len(buyers):
        raise TidegateError(f"the import ended as {ended.state} with {ended.accepted:,} of {len(buyers):,} contacts")


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]


async def _create_segments(tidegate: Tidegate) -> None:
    """Create what is not there yet."""
    present = {segment.id for segment in await tidegate.segments() if segment.state != "deleted"}
    wanted = [definition for definition in SEGMENTS if definition.id not in present]
    for definition in wanted:
        await tidegate.create_segment(definition)
    say(f"created {len(wanted)} segments" if wanted else f"{len(SEGMENTS)} segments are there from before")


async def _settled(tidegate: Tidegate) -> list[Segment]:
    """Wait until every partition has evaluated every contact against the segments; a slow machine does so later."""
    wanted = {definition.id for definition in SEGMENTS}
    until = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
    with _going_on("evaluating every contact against the segments"):
        while True:
            segments = [segment for segment in await tidegate.segments() if segment.id in wanted]
            if all(segment.members is not None and not _is_settling(segment) for segment in segments):
                return segments
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(SETTLE_POLL_S)
    say("that goes on, and the counts grow until it is done")
    return segments


def _is_settling(segment: Segment) -> bool:
    return bool((segment.model_extra or {}).get("settling"))


def _command(data_directory: Path | None) -> str:
    """How to call the command line from here, so that it finds this stack and its key."""
    beside = Path(sys.executable).with_name("tidegate")
    name = "tidegate" if shutil.which("tidegate") or not beside.exists() else os.path.relpath(beside)
    if data_directory is None or data_directory == platformdirs.user_data_path("tidegate"):
        return name
    return f"TIDEGATE_DATA_DIR={shlex.quote(str(data_directory))} {name}"


def _show(segments: Sequence[Segment], url: str, key: str, data_directory: Path | None) -> None:
    """What there is now, and what to try."""
    say("")
    rows = [(segment.id, segment.members, segment.text) for segment in segments]
    print_table(("segment", "members", "expression"), rows, numbers=(1,))
    say("")
    say(f"dashboard   {url}/#key={key}")
    say(f"API key     {key}")
    command = _command(data_directory)
    say(f"try         {command} contacts set ada plan=Free")
    say(f"            {command} segments create whales 'total_spent > 1000 AND last_order_at within 90 days'")
    say(f"            {command} explain ada active_pro_users")
    say("")


def _outlook(streamed: int, orders: int) -> str:
    """What comes now, with `streamed` of the orders to stream there from before."""
    if streamed >= orders:
        return ALL_STREAMED
    before = f"; {streamed:,} of {orders:,} are there from before" if streamed else ""
    return f"Orders stream in now{before}."


async def _show_changes(tidegate: Tidegate) -> None:
    """Print changes for ever; after a broken connection go on behind the last one printed."""
    last_id: str | None = None
    while True:
        try:
            async with aclosing(tidegate.events(last_id=last_id)) as events:
                async for event in events:
                    last_id = event.id or last_id
                    if event.name == "change":
                        print_change(event.data)
        except TidegateError as error:
            complain(f"{error}; going on when it answers")
        await asyncio.sleep(RECONNECT_S)


async def _stream(tidegate: Tidegate, buyers: dict[str, Buyer], live: Sequence[Order], progress: Progress) -> None:
    """Send the live orders one after the other, each dated when it is sent. What was sent before is only counted."""
    streamed = progress.load()
    if streamed >= len(live):
        return
    for order in live[:streamed]:
        buyers[order.contact_id] = buyers[order.contact_id].after(order, order.at)
    for count, order in enumerate(live[streamed:], start=streamed + 1):
        buyer = buyers[order.contact_id].after(order, datetime.now(UTC))
        buyers[order.contact_id] = buyer
        await _send(tidegate, buyer)
        progress.save(count)
        await asyncio.sleep(1 / ORDERS_PER_S)
    say(ALL_STREAMED)


async def _send(tidegate: Tidegate, buyer: Buyer) -> None:
    """Write one contact, again until it is accepted: a service that restarts loses no order."""
    while True:
        try:
            attributes: dict[str, Any] = buyer.attributes()
            await tidegate.set_contact(buyer.contact_id, attributes)
        except TidegateError as error:
            complain(f"{error}; the order is sent again")
            await asyncio.sleep(RECONNECT_S)
        else:
            return


def _stop_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@contextmanager
def _going_on(what: str) -> Iterator[None]:
    """Show that a step is going on: a spinner on a terminal, a line elsewhere."""
    shown = Console(stderr=True)
    if shown.is_terminal:
        with shown.status(what):
            yield
    else:
        say(what)
        yield
