"""Settings for the language's property tests: a busy machine is no failure, so examples have no time limit."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tidegate", deadline=None)
settings.load_profile("tidegate")
