"""The local stack with several evaluators: each has its own disk and its share of the partitions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.waiting import until
from deploy.local.plan import EVALUATOR, StackPlan, StackPorts
from deploy.local.ports import free_base

UP = (sys.executable, "-m", "tidegate.cli.main", "up")
SHARED_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 90


@pytest.mark.broker
@pytest.mark.timeout(500)
def test_two_local_evaluators_share_the_partitions(tmp_path: Path) -> None:
    base = free_base(StackPorts.SPAN)
    options = ["--data-dir", str(tmp_path / "data"), "--port-base", str(base), "--partitions", "4"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen([*UP, "--json", *options, "--evaluators", "2"], stdout=subprocess.PIPE, stderr=log) as up,
    ):
        assert up.stdout is not None
        try:
            told = up.stdout.readline()
            assert told, (tmp_path / "log").read_text()
            system = json.loads(told)
            assert {EVALUATOR, "evaluator-2"} <= set(system["pids"])
            owners = shared(system, (tmp_path / "log"))
        finally:
            up.terminate()
            code = up.wait(STOP_TIMEOUT_S)
    assert sorted(owners.values()) == [2, 2]
    assert code == 0
    for place in ("evaluator", "evaluator-2/evaluator"):
        assert len([each for each in (tmp_path / "data" / place).iterdir() if each.name.isdigit()]) >= 2


def shared(system: dict[str, Any], log: Path) -> dict[str, int]:
    """How many partitions each owner works, once there are two owners."""
    headers = {"Authorization": f"Bearer {system['key']}"}

    def owners() -> list[str]:
        told = httpx.get(f"{system['console']}/api/v2/status", headers=headers).json()
        return [part["owner"] for part in told["partitions"] if part["state"] == "ready"]

    try:
        shares = until(
            owners,
            SHARED_TIMEOUT_S,
            "four partitions with two owners",
            every_s=0.5,
            satisfies=lambda found: len(found) == 4 and len(set(found)) == 2,
        )
    except TimeoutError as late:
        late.add_note(log.read_text()[-3_000:])
        raise
    return {owner: shares.count(owner) for owner in shares}


def test_every_evaluator_has_settings_of_its_own(tmp_path: Path) -> None:
    plan = StackPlan(tmp_path, StackPorts.documented().with_evaluators(3), 8, 3)
    assert plan.services[:5] == ("evaluator", "scheduler", "ingest", "evaluator-2", "evaluator-3")
    assert plan.command("evaluator-3")[1:] == ["-m", "services.evaluator"]
    environments = [plan.environment(name) for name in ("evaluator", "evaluator-2", "evaluator-3")]
    for variable in ("TIDEGATE_DATA_DIR", "TIDEGATE_STATIC_MEMBER", "TIDEGATE_ADMIN_PORT"):
        assert len({environment[variable] for environment in environments}) == 3
    assert environments[1]["TIDEGATE_READ_API_PORT"] == "0"
    assert plan.environment("ingest")["TIDEGATE_DATA_DIR"] == str(tmp_path)
