"""Waiting for what tells nobody when it comes about: another process, a broker, a file.

Rule: every wait has a limit, and one that ends in vain says what was awaited and what was seen last. It decides nothing
and hides nothing: whatever the condition raises ends the wait at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

POLL_S = 0.05

Found = TypeVar("Found")


def until(
    condition: Callable[[], Found],
    within_s: float,
    doing: str,
    every_s: float = POLL_S,
    satisfies: Callable[[Found], object] = bool,
) -> Found:
    """Ask until the answer satisfies, and return it. `doing` names what is awaited, as in "waiting for …".

    An answer satisfies when it is true, unless `satisfies` says otherwise: so a wait in vain can tell what was there.
    Errors: `TimeoutError` when none did within `within_s`.
    """
    waiting = Retrying(
        retry=retry_if_result(lambda found: not satisfies(found)),
        stop=stop_after_delay(within_s),
        wait=wait_fixed(every_s),
        retry_error_callback=in_vain(doing, within_s),
    )
    return waiting(condition)


def in_vain(doing: str, within_s: float) -> Callable[[RetryCallState], NoReturn]:
    """Return what ends a wait whose condition never came true."""

    def end(state: RetryCallState) -> NoReturn:
        last = None if state.outcome is None else state.outcome.result()
        raise TimeoutError(f"waited {within_s:g} s in vain for {doing}; seen last: {last!r}")

    return end
