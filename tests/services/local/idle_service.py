"""A service that does nothing but live: stands for the real ones where only the supervision is under test.

Its one argument is its name. `TIDEGATE_TEST_REFUSE` names a service that refuses to start.
"""

from __future__ import annotations

import os
import sys

from services.runtime.application import ServiceContext, run_service
from services.runtime.errors import StartRefusedError
from services.runtime.settings import RuntimeSettings


async def idle(context: ServiceContext[RuntimeSettings]) -> None:
    """Be ready until told to stop."""
    if os.environ.get("TIDEGATE_TEST_REFUSE") == context.name:
        raise StartRefusedError("told to refuse")
    context.health.ready()
    await context.stopping.wait()


if __name__ == "__main__":
    run_service(sys.argv[1], RuntimeSettings, idle)
