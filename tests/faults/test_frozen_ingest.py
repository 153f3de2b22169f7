"""F5: the broker stands still for thirty seconds under writes of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from tests.faults.table import show
from tests.services.ingest.test_back_pressure import freeze, ingest_on

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(240)]
FROZEN_S = 30.0
CAUGHT_UP_WITHIN_S = 60.0


async def test_ingest_outlasts_a_broker_that_stands_still_for_thirty_seconds(
    own_broker: LocalKafka, tmp_path: Path
) -> None:
    async with ingest_on(own_broker, tmp_path) as running:
        load, took_s = await freeze(own_broker, running, FROZEN_S, CAUGHT_UP_WITHIN_S)
    show(
        "F5",
        f"ingest, broker frozen for {FROZEN_S:.0f} s: {len(load.accepted)} writes accepted and none lost, "
        f"{len(load.refused)} refused, slowest answer {load.slowest_s:.1f} s, taken again after {took_s:.1f} s",
    )
