"""Settings of the language's property tests. `TIDEGATE_PROPERTY_EXAMPLES` sets how many examples each property tries.

A busy machine is no failure, so an example has no time limit.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile(
    "tidegate", deadline=None, max_examples=int(os.environ.get("TIDEGATE_PROPERTY_EXAMPLES", "100"))
)
settings.load_profile("tidegate")
