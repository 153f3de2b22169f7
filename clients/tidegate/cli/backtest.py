"""`tidegate backtest`: what segments would have done over past changes, offline.

Rule: the numbers go to standard output, files only where asked; the history is read once, as a stream.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from segmentation.model import InstantMs, SegmentId
from segmentation.values import iso_text
from tidegate.backtest.files import ChangesFile, whole_file, write_members
from tidegate.backtest.history import HistoryRow, Layout, open_history, read_history
from tidegate.backtest.refused import BacktestRefusedError
from tidegate.backtest.replay import Replay
from tidegate.backtest.segments import read_segments
from tidegate.backtest.series import Courses, contacts_ever
from tidegate.cli.connection import EXIT_REFUSED, AsJson, told
from tidegate.cli.instants import instant_of
from tidegate.cli.output import complain, print_json, print_table, say

app = typer.Typer(add_completion=False)

UNITS_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
SPARKS: Final = "▁▂▃▄▅▆▇█"
SPARK_CELLS: Final = 32


class Blank(StrEnum):
    """What an empty cell means."""

    KEEP = "keep"
    REMOVE = "remove"


def _step_ms(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time; write a number and m, h, d or w, for example 1d")
    return int(found[1]) * UNITS_MS[found[2]]


Segments = Annotated[
    list[str],
    typer.Option("--segment", metavar="[ID: ]EXPRESSION|@FILE", help="What to test; may be given several times."),
]
Step = Annotated[int, typer.Option("--every", parser=_step_ms, metavar="TIME", help="Steps of members over time.")]
Until = Annotated[
    int | None,
    typer.Option("--until", parser=instant_of, metavar="INSTANT", help="Let time run to here. Default: the last row."),
]
Sort = Annotated[bool, typer.Option("--sort", help="Sort the rows by time first; holds them all in memory.")]


@app.command()
def backtest(
    history: Annotated[str, typer.Argument(metavar="HISTORY.csv", help="Past changes by time; - is standard input.")],
    segment: Segments,
    contact: Annotated[str, typer.Option("--contact", help="Column of the contact's id.")] = "contact_id",
    time: Annotated[str, typer.Option("--time", help="Column of the instant.")] = "at",
    delimiter: Annotated[str, typer.Option("--delimiter", help="Between cells.")] = ",",
    blank: Annotated[Blank, typer.Option("--blank", help="What an empty cell does to its attribute.")] = Blank.KEEP,
    until: Until = None,
    every: Step = "1d",  # type: ignore[assignment]  # typer reads the default with the option's parser
    sort: Sort = False,
    changes: Annotated[Path | None, typer.Option("--changes", help="Write every enter and exit here, as CSV.")] = None,
    members: Annotated[Path | None, typer.Option("--members", help="Write members over time here, as CSV.")] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="Draw members over time here, as SVG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what segments would have done over past changes: who entered and left, when, and how many were in them.

    A row of HISTORY.csv is one change: a contact, an instant, and in the other columns what was set then.
    """
    if len(delimiter) != 1:
        raise typer.BadParameter("a delimiter is one character", param_hint="--delimiter")
    layout = Layout(contact, time, delimiter, blank_removes=blank is Blank.REMOVE)
    try:
        run = _Run(segment, every)
        with ExitStack() as files:
            rows = files.enter_context(open_history(history))
            written = None if changes is None else ChangesFile(files.enter_context(whole_file(changes)))
            run.take(read_history(rows, layout, run.reads, sort=sort), _known(until), written)
        run.write(members, chart)
    except BacktestRefusedError as error:
        complain(str(error), [line for fault in error.faults for line in told(fault, error.source)])
        raise typer.Exit(EXIT_REFUSED) from error
    run.show(as_json=as_json)


def _known(until: int | None) -> InstantMs | None:
    return None if until is None else InstantMs(until)


class _Run:
    """One backtest: what goes in, and what came out."""

    def __init__(self, given: Sequence[str], step_ms: int) -> None:
        segments = read_segments(given)
        self.ids = [segment.segment_id for segment in segments]
        self.reads = frozenset(name for segment in segments for name in segment.reads)
        self._replay = Replay(segments)
        self._courses = Courses(self.ids, step_ms)

    def take(self, rows: Iterable[HistoryRow], until: InstantMs | None, written: ChangesFile | None) -> None:
        for change in self._replay.changes(rows, until):
            self._courses.take(change)
            if written is not None:
                written.write(change)

    def write(self, members: Path | None, chart: Path | None) -> None:
        first, last = self._span()
        if members is not None:
            with whole_file(members) as opened:
                write_members(opened, self._courses, first, last)
        if chart is not None:
            from tidegate.backtest.chart import draw  # Drawing costs its import only when asked for.

            with whole_file(chart) as opened:
                draw(opened, self._courses, first, last)

    def show(self, *, as_json: bool) -> None:
        first, last = self._span()
        ever = contacts_ever(self._replay.contacts, self.ids)
        if as_json:
            told_ = {"rows": self._replay.rows, "contacts": len(self._replay.contacts)}
            segments = [self._told(segment_id, ever[segment_id]) for segment_id in self.ids]
            print_json({**told_, "first": iso_text(first), "last": iso_text(last), "segments": segments})
            return
        terminal = sys.stdout.isatty()
        if terminal:
            contacts = len(self._replay.contacts)
            say(f"{self._replay.rows:,} changes of {contacts:,} contacts, {_day(first)} to {_day(last)}")
        rows = []
        for segment_id in self.ids:
            one = self._courses.by_segment[segment_id]
            peak_day = None if one.peak_at is None else _day(one.peak_at)
            row = (segment_id, one.enters, one.exits, ever[segment_id], one.members, one.peak, peak_day)
            rows.append((*row, self._sparks(segment_id, first, last)) if terminal else row)
        headers = ("segment", "enters", "exits", "contacts", "members", "at most", "on", "members over time")
        print_table(headers, rows, numbers=(1, 2, 3, 4, 5))

    def _told(self, segment_id: SegmentId, ever: int) -> dict[str, object]:
        one = self._courses.by_segment[segment_id]
        return {
            "id": segment_id,
            "enters": one.enters,
            "exits": one.exits,
            "contacts": ever,
            "members": one.members,
            "peak": one.peak,
            "peak_at": None if one.peak_at is None else iso_text(one.peak_at),
        }

    def _sparks(self, segment_id: SegmentId, first: InstantMs, last: InstantMs) -> str:
        """Members over time as a line of blocks: the number at the end of each of equal stretches."""
        counts = [step.members for step in self._courses.steps(segment_id, first, last)]
        stretch = max(1, -(-len(counts) // SPARK_CELLS))
        ends = counts[stretch - 1 :: stretch]
        highest = max(ends, default=0) or 1
        return "".join(SPARKS[count * (len(SPARKS) - 1) // highest] for count in ends)

    def _span(self) -> tuple[InstantMs, InstantMs]:
        if self._replay.first is None or self._replay.now is None:
            raise BacktestRefusedError("the history has no rows, or none before --until")
        return self._replay.first, self._replay.now


def _day(at: InstantMs) -> str:
    return iso_text(at)[:10]
