"""`python -m examples.cdnow`: the demo against the stack it is told of, or against one that it starts.

Rule: started alone, it becomes `tidegate up`, which starts everything and then this module again, with the addresses
and the key in the environment.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from examples.cdnow.demo import run_demo
from tidegate.cli.standard_output import watched_output

URL_VARIABLE = "TIDEGATE_CONSOLE_URL"
KEY_VARIABLE = "TIDEGATE_API_KEY"
DATA_DIR_VARIABLE = "TIDEGATE_DATA_DIR"


def become_the_stack() -> NoReturn:
    """Replace this process by `tidegate up`, with this module as its guest."""
    command = [sys.executable, "-m", "tidegate.cli.main", "up", "--then", "examples.cdnow", *sys.argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606 - our own command line, no shell


def main() -> int:
    """Run the demo, or the stack first."""
    url, key = os.environ.get(URL_VARIABLE), os.environ.get(KEY_VARIABLE)
    if not url or not key:
        become_the_stack()
    with watched_output():
        return run_demo(url, key, os.environ.get(DATA_DIR_VARIABLE))


if __name__ == "__main__":
    sys.exit(main())
