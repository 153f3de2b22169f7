"""A backtest that cannot be run as asked: what is wrong, where, and how to repair it."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.errors import FieldError, TidegateError


class BacktestRefusedError(TidegateError):
    """The history or a segment cannot be used. `faults` point into `source`, the text they were found in."""

    def __init__(self, message: str, faults: Sequence[FieldError] = (), source: str | None = None) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        self.source = source
