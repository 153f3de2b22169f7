"""The picture of a backtest: members over time, one small chart a segment, as one SVG without scripts.

Rule: every segment has a scale of its own from zero, and its title says its last and highest number, so that no line
has to be read off an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TextIO

import leather
from leather import theme
from leather.scales import Scale

from segmentation.model import InstantMs, SegmentId
from tidegate.backtest.refused import BacktestRefusedError
from tidegate.backtest.series import Courses, Step

CHARTS_MAX: Final = 16
POINTS_MAX: Final = 1_000
"""Points of a line: more than the picture has pixels would only make the file large."""
CHART_WIDTH: Final = 560
CHART_HEIGHT: Final = 300
COLORS: Final = ("#0f6fb8", "#c2571a", "#2f8f4e", "#8a4fb5")
FONT: Final = "system-ui, -apple-system, 'Segoe UI', sans-serif"
TICKS: Final = 5
LEAST_SPAN: Final = timedelta(minutes=1)
"""A history of one step still needs a width."""
STYLE: Final = {
    "background_color": "#ffffff",
    "title_color": "#1c2430",
    "title_font_family": FONT,
    "tick_font_family": FONT,
    "tick_font_size": 11,
    "tick_font_char_width": 7,
    "label_color": "#5a6675",
    "tick_color": "#e8ebef",
    "zero_color": "#9aa5b1",
    "title_gap": 16,
    "margin": 0.07,
}


def draw(opened: TextIO, courses: Courses, first: InstantMs, last: InstantMs) -> None:
    """Write the picture. Errors: BacktestRefusedError for more segments than a picture can show."""
    if len(courses.by_segment) > CHARTS_MAX:
        raise BacktestRefusedError(f"a chart shows at most {CHARTS_MAX} segments; give fewer, or leave out --chart")
    for name, value in STYLE.items():
        setattr(theme, name, value)
    charts = [
        _chart(segment_id, list(courses.steps(segment_id, first, last)), course.peak, COLORS[place % len(COLORS)])
        for place, (segment_id, course) in enumerate(courses.by_segment.items())
    ]
    columns = 1 if len(charts) == 1 else 2 if len(charts) <= 4 else 3 if len(charts) <= 9 else 4
    rows = -(-len(charts) // columns)
    grid = leather.Grid()
    grid.add_many(charts)
    grid.to_svg(opened, width=columns * CHART_WIDTH, height=rows * CHART_HEIGHT)


def _chart(segment_id: SegmentId, steps: Sequence[Step], peak: int, color: str) -> leather.Chart:
    last = steps[-1].members
    chart = leather.Chart(f"{segment_id}: {last:,} members, at most {peak:,}")
    shown = steps[:: max(1, -(-len(steps) // POINTS_MAX))]
    chart.add_line([(_moment(step.start), step.members) for step in (*shown, steps[-1])], stroke_color=color)
    top = _round_up(peak)
    chart.set_y_scale(_Exact(0, top))
    chart.add_y_axis(ticks=[top * part // 4 for part in range(5)], tick_formatter=_number)
    begin, end = _moment(steps[0].start), max(_moment(steps[-1].start), _moment(steps[0].start) + LEAST_SPAN)
    chart.set_x_scale(_Exact(begin, end))
    chart.add_x_axis(ticks=[begin + (end - begin) / (TICKS - 1) * part for part in range(TICKS)], tick_formatter=_day)
    return chart


class _Exact(Scale):  # type: ignore[misc]  # the library ships no types
    """From edge to edge: the library's own scales leave room for round ticks on both sides."""

    def __init__(self, low: Any, high: Any) -> None:
        self._low = low
        self._high = high

    def contains(self, value: Any) -> bool:
        return bool(self._low <= value <= self._high)

    def project(self, value: Any, range_min: float, range_max: float) -> float:
        return range_min + (range_max - range_min) * float((value - self._low) / (self._high - self._low))


def _round_up(highest: int) -> int:
    """A round number at or above, divisible by four."""
    size = 4
    while size * 10 <= highest:
        size *= 10
    return size * max(1, -(-highest // size))


def _moment(at: InstantMs) -> datetime:
    return datetime.fromtimestamp(at / 1_000, UTC).replace(tzinfo=None)


def _number(value: int, *_: int) -> str:
    return f"{value:,}"


def _day(value: datetime, *_: int) -> str:
    return f"{value:%Y-%m-%d}"
