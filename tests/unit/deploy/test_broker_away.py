"""A broker that goes away, or refuses, is told to an operator in one line, without what the client logs of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, KafkaTimeoutError

from deploy.workspace import broker
from deploy.workspace.broker import connected
from services.runtime.errors import ServiceError
from services.runtime.settings import RuntimeSettings

NOBODY = "127.0.0.1:1"
ENDS_WITHIN_S = 60.0


class Admin:
    """A connection that can be opened and closed."""

    def __init__(self, **_options: object) -> None:
        """It leads nowhere."""

    async def start(self) -> None:
        """There is nothing to reach."""

    async def close(self) -> None:
        """There is nothing to leave."""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (KafkaTimeoutError, r"answers no more \(KafkaTimeoutError\): look whether it is up, and repeat$"),
        (ClusterAuthorizationFailedError, r"refused a request \(.*ClusterAuthorizationFailedError\): Returned by .*"),
    ],
)
async def test_a_failure_is_said_in_a_sentence(
    failure: Callable[[], KafkaError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "AIOKafkaAdminClient", Admin)
    with pytest.raises(ServiceError, match=f"^Kafka at {NOBODY} {said}"):
        async with connected(RuntimeSettings(kafka_bootstrap=NOBODY)):
            raise failure()


def test_the_terminal_is_told_one_line_of_a_broker_that_is_away() -> None:
    environment = {**os.environ, "TIDEGATE_KAFKA_BOOTSTRAP": NOBODY}
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli.main", "admin", "clear-erased"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
    )
    assert done.stderr.startswith(f"error: no Kafka broker answers at {NOBODY}")
    assert len(done.stderr.splitlines()) == 1
