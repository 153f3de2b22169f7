"""Which broker and which workspace an operator's command works on.

Rule: the services' own variables name them; where none names a broker, the local stack that runs on the data directory
does. So a command and the services that it is about never disagree.
"""

from __future__ import annotations

import json
import os

from schemas.groups import SCHEDULER_GROUP
from services.runtime.settings import ENV_PREFIX, RuntimeSettings, load_settings

BOOTSTRAP_VARIABLE = f"{ENV_PREFIX}KAFKA_BOOTSTRAP"
LOCAL_STACK_FILE = "stack.json"


class OperatorSettings(RuntimeSettings):
    """The settings of a command. Each is `TIDEGATE_` and its name in capitals, as the services read them."""

    scheduler_group: str = SCHEDULER_GROUP
    imports_url: str | None = None
    """Where ingest keeps imports, if not in `imports` of the data directory."""


def operator_settings() -> OperatorSettings:
    """Read the environment. Errors: `StartRefusedError`."""
    settings = load_settings(OperatorSettings)
    if BOOTSTRAP_VARIABLE in os.environ:
        return settings
    try:
        told = json.loads((settings.data_dir / LOCAL_STACK_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return settings
    return settings.model_copy(update={"kafka_bootstrap": told["kafka"]}) if "kafka" in told else settings
