"""`python -m services.ingest.first_key`: make the key by which an operator makes all others, and print it once.

Rule: only where there is no key at all; whoever can run this in the process's place could write the key file anyway.
"""

from __future__ import annotations

import sys

from services.ingest.settings import IngestSettings
from services.runtime.application import EXIT_REFUSED
from services.runtime.errors import ServiceError
from services.runtime.keys import KeyFile, Scope
from services.runtime.settings import load_settings

NAME = "first"


def main() -> int:
    """Make the key. The exit code is `EXIT_REFUSED` when there is one already, or none could be made."""
    try:
        keys = KeyFile(load_settings(IngestSettings).keys_path)
        known = keys.keys()
        if known:
            sys.stderr.write(
                f"there are {len(known)} keys already; make others with one of scope admin: tidegate keys create\n"
            )
            return EXIT_REFUSED
        sys.stdout.write(f"{keys.create(NAME, frozenset(Scope)).token}\n")
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
