"""The operator's commands run over TLS as their own users, whose grants are enough and all needed.

Rule: a move seals the workspace for ever, so this module is the last of its folder, and the move the last of its steps.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from bench.waiting import until
from deploy.k8s.grants import DOCTOR, GRANTS, OPERATOR, user_name
from schemas.topics import Topic
from tests.services.access.cluster import Decision, SecuredCluster
from tests.services.access.system import SERVICES, SecuredSystem
from tests.services.access.test_least_privilege import uses
from tests.services.access.work import ok

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]  # five processes and a broker start for the first test
COMMAND_TIMEOUT_S = 120
OUTCOME_TIMEOUT_S = 120
CONTACTS = 30
NEW_PARTITIONS = 3
as_each_user = pytest.mark.parametrize("name", [DOCTOR, OPERATOR])


@dataclass(frozen=True, slots=True)
class Operated:
    """What each command printed, and everything that was asked of the broker meanwhile."""

    doctor: list[dict[str, Any]]
    backup: dict[str, Any]
    cleared: dict[str, Any]
    moved: dict[str, Any]
    decisions: set[Decision]


@pytest.fixture(scope="module")
def operated(cluster: SecuredCluster, system: SecuredSystem, tmp_path_factory: pytest.TempPathFactory) -> Operated:
    directory = tmp_path_factory.mktemp("operator")
    fill(cluster, system)

    def run(user: str, *words: str, data: Path = directory, **more: str) -> Any:
        return command(cluster, user, words, {"TIDEGATE_DATA_DIR": str(data), **more})

    key = str(system.http.headers["Authorization"]).removeprefix("Bearer ")
    ready = [word for service in SERVICES for word in ("--ready", f"{system.admin_url(service)}/ready")]
    doctor = run(DOCTOR, "doctor", "--url", system.console.removesuffix("/api/v2"), *ready, TIDEGATE_API_KEY=key)
    backup = run(OPERATOR, "admin", "backup", str(directory / "backup"), data=system.data_directory("evaluator"))
    drops = [
        word for topic in (Topic.CONTACT_CHANGES, Topic.DEAD_LETTERS, Topic.REQUESTS) for word in ("--drop", topic)
    ]
    cleared = run(OPERATOR, "admin", "clear-erased", *drops)
    system.stop("webhooks")
    moved = run(OPERATOR, "admin", "repartition", "--to", str(NEW_PARTITIONS), "--to-prefix", "v2-")
    return Operated(doctor, backup, cleared, moved, cluster.decisions())


def fill(cluster: SecuredCluster, system: SecuredSystem) -> None:
    """Members, an erased contact, a dead letter and an answered request, so that every command has something to do."""
    http, api = system.http, system.ingest
    ok(http.post(f"{api}/segments", json={"id": "moving", "where": "moving is true"}))
    for number in range(CONTACTS):
        contact = {"id": f"m{number}", "attributes": {"moving": True}}
        ok(http.post(f"{api}/contacts", json=contact, headers={"Idempotency-Key": f"m{number}"}))
    ok(http.delete(f"{api}/contacts/m0"))
    asyncio.run(poison(cluster))
    until(
        lambda: ok(http.get(f"{system.console}/segments/moving/members?limit=100"))["members"],
        OUTCOME_TIMEOUT_S,
        f"{CONTACTS - 1} members",
        satisfies=lambda members: len(members) == CONTACTS - 1,
    )


async def poison(cluster: SecuredCluster) -> None:
    """Write what cannot be read, as somebody's own producer."""
    producer = AIOKafkaProducer(bootstrap_servers=cluster.plaintext)
    await producer.start()
    try:
        await producer.send_and_wait(Topic.CONTACT_CHANGES, b"{", key=b"m1", partition=0)
    finally:
        await producer.stop()


def command(cluster: SecuredCluster, user: str, words: tuple[str, ...], environment: dict[str, str]) -> Any:
    """Run `tidegate` as a person who has this user's password; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli.main", *words, "--json"],
        env={**os.environ, **cluster.environment(user), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_every_command_does_its_work_as_a_user_of_its_own(operated: Operated) -> None:
    assert [check for check in operated.doctor if not check["ok"]] == []
    assert {"kafka", "topics", "ticks", "partitions"} <= {check["name"] for check in operated.doctor}
    assert operated.backup["partitions"] == 2
    assert set(operated.cleared["dropped"]) == {Topic.CONTACT_CHANGES, Topic.DEAD_LETTERS, Topic.REQUESTS}
    assert operated.moved["partitions"] == NEW_PARTITIONS
    assert operated.moved["members"] >= CONTACTS - 1


@as_each_user
def test_a_command_asks_for_nothing_that_it_may_not(operated: Operated, name: str) -> None:
    asked = [decision for decision in operated.decisions if decision.user == user_name(name)]
    assert asked
    assert not [decision for decision in asked if not decision.allowed]


@as_each_user
def test_every_grant_of_a_command_is_needed(operated: Operated, name: str) -> None:
    idle = [
        (grant.name, operation)
        for grant in GRANTS[name]
        for operation in grant.operations
        if not any(uses(decision, name, grant, operation) for decision in operated.decisions)
    ]
    assert idle == []
