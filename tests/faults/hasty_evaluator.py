"""An evaluator to whose Kafka client time without a fetch passes quickly: `python -m tests.faults.hasty_evaluator`.

Rule: production code knows nothing of it; only how long the client believes to have been asked for nothing is another.
"""

from __future__ import annotations

import time

from aiokafka.consumer.subscription_state import SubscriptionState

from services.evaluator.service import main
from services.evaluator.settings import EvaluatorSettings
from services.runtime.application import run_service

HASTE = 500
"""So many seconds pass in one."""


def idle_time(known: SubscriptionState) -> float:
    """How long nothing was asked for, by what the client knows of its fetches."""
    return 0.0 if known._fetch_count else HASTE * (time.monotonic() - known._last_fetch_ended)


if __name__ == "__main__":
    SubscriptionState.fetcher_idle_time = property(idle_time)
    run_service("evaluator", EvaluatorSettings, main)
