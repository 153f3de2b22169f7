"""`python -m deploy.local.prepare`: make a broker and a data directory ready for the services, where nobody else does.

Creates the topics and the first API key, and prints the key. Harmless when repeated. Rule: for a cluster that declares
its topics beside itself, and whose keys an operator makes, this is not used.
"""

from __future__ import annotations

import asyncio
import sys

from deploy.local.local_key import local_key
from services.runtime.application import EXIT_FAILED, EXIT_REFUSED
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.settings import RuntimeSettings, load_settings
from services.runtime.topics import ensure_topics


def main() -> int:
    """Prepare; the exit code says whether it is worth to try again."""
    try:
        settings = load_settings(RuntimeSettings)
        asyncio.run(ensure_topics(settings))
        key = local_key(settings.data_dir)
    except StartRefusedError as refusal:
        sys.stderr.write(f"{refusal}\n")
        return EXIT_REFUSED
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    sys.stdout.write(f"API key  {key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
