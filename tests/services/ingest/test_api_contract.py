"""The write API keeps its own OpenAPI document: every operation, every scope, whatever is thrown at it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
import uvicorn
from hypothesis.stateful import get_state_machine_test
from schemathesis import GenerationMode

from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from services.runtime.web import listen
from tests.services.ingest.conftest import Owner, Running, client_of, report_owner
from tests.services.ingest.meaning import BASE_SEGMENT, keeps_its_numbers, make_sense, teach

pytestmark = pytest.mark.broker
EXAMPLES_PER_OPERATION = int(os.environ.get("TIDEGATE_CONTRACT_EXAMPLES", "20"))

WALKS_PER_EXAMPLE = 3
STEPS_PER_WALK = 12
WALK_BYTES = 64 * 1024
"""Of chance: each choice of a walk takes some, and a walk ends when they are used up."""
FIRST_SEED = int(os.environ.get("TIDEGATE_CONTRACT_SEED", "0"))
"""The same requests every time; another number sends others."""
FAILURES_SHOWN_MAX = 20
ANSWERED_WITHIN_S = 120
"""No promise: whoever makes up requests beside it, in the same process, may take its processor for seconds."""


class Served:
    """Ingest behind a real socket, in a thread of its own: schemathesis is synchronous."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._listening = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        made = KeyFile(settings.keys_path).create("contract", frozenset(Scope))
        self.token, self.key_id = made.token, made.key.id
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        await ensure_topics(self._settings)
        await report_owner(self._settings)
        async with Ingest.running(self._settings, Owner({"u_17": {"plan": "pro"}})) as ingest:
            config = uvicorn.Config(ingest.app, log_config=None, lifespan="off", ws="none")
            self._server = uvicorn.Server(config)
            self._started.set()
            await self._server.serve(sockets=[self._listening])

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(30)
        self._listening.close()


@pytest.fixture(scope="module")
def served(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = IngestSettings(
        kafka_bootstrap=broker,
        topic_prefix=f"contract-{tmp_path_factory.getbasetemp().name}-",
        partitions=2,
        data_dir=tmp_path_factory.mktemp("ingest"),
        rate_limit_per_s=1_000_000,
    )
    with Served(settings) as running:
        yield running


@pytest.fixture(scope="module")
def api(served: Served) -> Any:
    document = httpx.get(f"{served.url}/api/v2/openapi.json", headers=authorized(served.token)).json()
    # Who may do what has a test of its own; here every request has the right key, and none is made up.
    del document["components"]["securitySchemes"]
    for item in document["paths"].values():
        for operation in item.values():
            del operation["security"]
            # A key made up twice for two requests is rightly refused; it has tests of its own.
            parameters = operation.get("parameters", [])
            operation["parameters"] = [known for known in parameters if known["name"] != "Idempotency-Key"]
    base = {"id": BASE_SEGMENT, "where": "plan is Pro"}
    made = httpx.post(f"{served.url}/api/v2/segments", json=base, headers=authorized(served.token))
    assert made.status_code == 201, made.text
    teach()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = served.url
    schema.config.request_timeout = ANSWERED_WITHIN_S
    checks = schema.config.checks
    # 207 says of each contact by itself whether it was refused.
    checks.negative_data_rejection.expected_statuses.append("207")
    # A request may hold a version that an edit before has replaced, or one that nobody ever gave.
    checks.positive_data_acceptance.expected_statuses.append("412")
    checks.negative_data_rejection.expected_statuses.append("412")
    return schema


def authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does, inside its strategies
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as said", "not as said"])
@pytest.mark.timeout(600)
def test_every_operation_answers_as_its_document_says(api: Any, served: Served, mode: GenerationMode) -> None:
    answered: dict[tuple[str, int], int] = {}
    failures: list[str] = []
    for result in api.get_all_operations():
        try:
            exercise(result.ok(), mode, served, answered, failures)
        except (hypothesis.errors.Unsatisfiable, hypothesis.errors.FailedHealthCheck):
            continue  # nothing about this operation's requests can be wrong
    show(mode.value, answered)
    assert not failures, "\n\n".join(failures[:FAILURES_SHOWN_MAX])
    assert not [answer for answer in answered if answer[1] >= 500]
    assert sum(answered.values()) >= EXAMPLES_PER_OPERATION * 5


def exercise(
    operation: Any, mode: GenerationMode, served: Served, answered: dict[tuple[str, int], int], failures: list[str]
) -> None:
    """Send generated requests, every check on, and count the answers."""

    @hypothesis.seed(FIRST_SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES_PER_OPERATION,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def answers_as_documented(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            make_sense(case)
        hypothesis.assume(keeps_its_numbers(case.body))
        response = case.call(headers=authorized(served.token))
        count(answered, case, response)
        failures.extend(broken_promises(served, case, response))

    answers_as_documented()


def count(answered: dict[tuple[str, int], int], case: Any, response: Any) -> None:
    """Count an answer, a wrong one too."""
    answer = (case.operation.label, response.status_code)
    answered[answer] = answered.get(answer, 0) + 1


def broken_promises(served: Served, case: Any, response: Any, additional_checks: Any = ()) -> list[str]:
    """What the answer breaks. It is told and not raised: what was sent changed what is there, so that a second try,
    to find a smaller request that fails, would be another story."""
    try:
        case.validate_response(
            response, additional_checks=additional_checks, transport_kwargs={"headers": authorized(served.token)}
        )
    except BaseExceptionGroup as group:
        sent = case.as_curl_command()
        return [f"{case.operation.label}: {error}\n{sent}\n{response.text}" for error in group.exceptions]
    return []


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does, inside its strategies
@pytest.mark.timeout(600)
def test_what_one_request_made_the_next_ones_may_use(api: Any, served: Served) -> None:
    answered: dict[tuple[str, int], int] = {}
    failures: list[str] = []

    class Workflow(api.as_state_machine()):  # type: ignore[misc]  # made at run time
        """Random walks along the document's links."""

        def before_call(self, case: Any) -> None:
            if case.meta.generation.mode is GenerationMode.POSITIVE:
                make_sense(case)
                if case.operation.label == "POST /api/v2/segments":
                    # One id a walk, so that few of them find it taken.
                    case.body["id"] = f"walk_{sum(answered.values())}"
                if case.operation.label == "POST /api/v2/imports" and case.query:
                    # A mapping that follows names the columns by their header.
                    case.query.pop("header", None)
            # A list of keys leads to this one too; without it every later answer would be 401.
            if case.path_parameters.get("key_id") == served.key_id:
                case.path_parameters["key_id"] = "another"
            # What references lead to stays.
            if case.path_parameters.get("segment_id") == BASE_SEGMENT:
                case.path_parameters["segment_id"] = "another"

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": authorized(served.token)}

        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **kwargs: Any) -> None:
            count(answered, case, response)
            failures.extend(broken_promises(served, case, response, additional_checks))

    settings = hypothesis.settings(
        stateful_step_count=STEPS_PER_WALK, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    # Each walk from bytes of its own: where it can go depends on what is there by then, and a search that goes one
    # way twice, as hypothesis's own does, would take that for a mistake in the test.
    walks: Any = get_state_machine_test(Workflow, settings=settings)
    walk = walks.hypothesis.fuzz_one_input
    for number in range(WALKS_PER_EXAMPLE * EXAMPLES_PER_OPERATION):
        walk(Random(FIRST_SEED + number).randbytes(WALK_BYTES))
    show("stateful", answered)
    assert not failures, "\n\n".join(failures[:FAILURES_SHOWN_MAX])
    assert not [answer for answer in answered if answer[1] >= 500 or answer[1] == 401]
    followed = {label for (label, status), _ in answered.items() if status < 300 and "{" in label}
    assert {"GET /api/v2/segments/{segment_id}", "DELETE /api/v2/keys/{key_id}"} <= followed, answered
    assert len(followed) >= 6, answered


def show(phase: str, answered: Mapping[tuple[str, int], int]) -> None:
    """Print what was sent and answered, for whoever runs with `-s`."""
    statuses: dict[int, int] = {}
    for (_, status), count in answered.items():
        statuses[status] = statuses.get(status, 0) + count
    operations_met = len({label for label, _ in answered})
    told = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    sent = sum(answered.values())
    found = sum(count for status, count in statuses.items() if status < 300) / max(1, sent)
    sys.stdout.write(
        f"\nschemathesis, {phase}: {sent} requests to {operations_met} operations: {told}; {found:.0%} answered 2xx\n"
    )


def operations(document: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """(method, path, scope) of every operation."""
    found = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            (requirement,) = operation["security"]
            (scopes,) = requirement.values()
            found.append((method.upper(), path, scopes[0] if scopes else None))
    return found


async def test_every_route_demands_a_key_and_its_scope_and_no_other(running: Running) -> None:
    document = (await running.http.get("/api/v2/openapi.json")).json()
    matrix = operations(document)
    assert len(matrix) >= 12
    keys = {scope: running.client(scope) for scope in Scope}
    for method, path, needed in matrix:
        target = path.replace("{", "no-such-").replace("}", "")
        async with client_of(running.ingest.app, None) as stranger:
            assert (await stranger.request(method, target)).status_code == 401, (method, path)
        for scope, client in keys.items():
            status = (await client.request(method, target)).status_code
            allowed = needed is None or scope in (needed, Scope.ADMIN)
            assert (status not in (401, 403)) is allowed, (method, path, scope, status)


async def test_no_route_is_left_out_of_the_document(running: Running) -> None:
    document = (await running.http.get("/api/v2/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for path in document["paths"]:
        assert path.startswith("/api/v2/"), path
    missing = await running.http.get("/api/v2/nothing")
    wrong = await running.http.put("/api/v2/contacts")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"
    assert wrong.headers["allow"] == "POST"
    assert (await running.http.post("/api/v2/segments/s")).headers["allow"] == "DELETE, GET, PUT"


async def test_a_key_that_was_made_works_and_a_revoked_one_does_not(running: Running, tmp_path: Path) -> None:
    made = await running.http.post("/api/v2/keys", json={"name": "crm", "scopes": ["contacts:write"]})
    assert made.status_code == 201, made.text
    async with client_of(running.ingest.app, made.json()["key"]) as client:
        write = {"id": "u", "attributes": {}}
        assert (await client.post("/api/v2/contacts", json=write)).status_code == 202
        assert (await running.http.delete(f"/api/v2/keys/{made.json()['id']}")).status_code == 204
        assert (await client.post("/api/v2/contacts", json=write)).status_code == 401
    listed = (await running.http.get("/api/v2/keys")).json()["keys"]
    assert made.json()["key"] not in str(listed)
