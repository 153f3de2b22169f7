"""`tidegate doctor` on a running system: all well, and each thing that is really broken, with what to do."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.e2e.conftest import COMMAND, RunningSystem
from tidegate.cli.connection import EXIT_UNREACHABLE
from tidegate.cli.doctor_kafka import TICK_AGE_MAX_MS, TICK_AHEAD_MAX_MS, console_now_ms, judge_ticks

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
NOW = 1_790_000_000_000
NOBODY = "127.0.0.1:1"


def examine(system: RunningSystem, *options: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run the command as a person beside the stack would; its exit code and its checks by name."""
    environment = {**os.environ, "TIDEGATE_DATA_DIR": str(system.folder), **variables}
    for name in ("TIDEGATE_URL", "TIDEGATE_API_KEY"):
        if name not in variables:
            environment.pop(name, None)
    done = subprocess.run([COMMAND, "doctor", "--json", *options], env=environment, capture_output=True, check=False)
    assert done.stdout, done.stderr.decode()
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}


def set_cleanup(system: RunningSystem, topic: str, policy: str) -> None:
    """Alter a topic as a careless operator would."""
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": system.kafka})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def test_all_is_well_on_a_running_system(system: RunningSystem) -> None:
    code, checks = examine(system)
    assert code == 0, checks
    assert {"ingest", "evaluator", "scheduler", "console", "key", "kafka", "topics", "ticks", "lag", "disk"} <= set(
        checks
    )
    assert all(check["ok"] for check in checks.values())


def test_a_topic_of_another_shape_is_named_with_both_values(system: RunningSystem) -> None:
    set_cleanup(system, "memberships", "delete")
    try:
        code, checks = examine(system)
    finally:
        set_cleanup(system, "memberships", "compact")
    assert code == EXIT_UNREACHABLE
    assert checks["topics"]["found"] == "memberships has cleanup.policy=delete, expected compact"
    assert checks["topics"]["advice"]
    assert checks["kafka"]["ok"]


def test_a_prefix_without_topics_is_missing_all_of_them(system: RunningSystem) -> None:
    code, checks = examine(system, "--prefix", "nobody-")
    assert code == EXIT_UNREACHABLE
    assert "nobody-contact-changes is missing" in checks["topics"]["found"]
    assert "ticks" not in checks, "what depends on a failed check is not guessed at"


@pytest.mark.parametrize(
    ("options", "variables", "wrong"),
    [
        (["--kafka", NOBODY], {}, "kafka"),
        (["--url", f"http://{NOBODY}"], {}, "console"),
        (["--ready", f"http://{NOBODY}/ready"], {}, f"http://{NOBODY}/ready"),
        ([], {"TIDEGATE_API_KEY": "tg_unknown"}, "key"),
    ],
)
def test_what_does_not_answer_is_wrong_and_comes_with_advice(
    system: RunningSystem, options: list[str], variables: dict[str, str], wrong: str
) -> None:
    code, checks = examine(system, *options, **variables)
    assert code == EXIT_UNREACHABLE
    assert not checks[wrong]["ok"]
    assert checks[wrong]["advice"]


def test_ticks_that_stopped_and_clocks_that_differ_are_told_apart() -> None:
    young = {0: NOW - 500, 1: NOW - 900}
    assert judge_ticks(young, NOW).ok
    assert judge_ticks(young | {1: NOW - TICK_AGE_MAX_MS - 1}, NOW).found == "partitions [1] have had none lately"
    assert judge_ticks(young | {0: None}, NOW).found == "partitions [0] have had none lately"
    assert "ahead" in judge_ticks(young | {0: NOW + TICK_AHEAD_MAX_MS + 1}, NOW).found


def test_ticks_that_came_while_other_things_were_looked_at_are_not_from_the_future() -> None:
    as_of, passed_s = "2026-09-21T14:13:20+00:00", 2.6
    assert console_now_ms(as_of, 0.0) == NOW
    assert judge_ticks({0: NOW + 2_522}, console_now_ms(as_of, passed_s)).ok
    assert not judge_ticks({0: NOW + 2_601 + TICK_AHEAD_MAX_MS}, console_now_ms(as_of, passed_s)).ok
