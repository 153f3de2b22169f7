"""Asking a person while a loop runs. Rule: Ctrl-C ends the question, and with it the command, as anywhere else."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tidegate.cli.connection import EXIT_INTERRUPTED


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what waits for a person's answer. A loop would keep it until there is one.

    Errors: raises typer.Exit when that was pressed, or when there is no more input.
    """
    by_the_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except typer.Abort as aborted:
        raise typer.Exit(EXIT_INTERRUPTED) from aborted
    finally:
        signal.signal(signal.SIGINT, by_the_loop)
