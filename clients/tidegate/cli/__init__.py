"""The `tidegate` command line."""

from __future__ import annotations

import signal
from importlib import import_module
from typing import Any


def run() -> Any:
    """Run it; the exit code is the process's. A Ctrl-C before it has begun ends it, and prints no traceback."""
    heeds_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds_interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = import_module("tidegate.cli.main")
    if heeds_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main.run()
