"""Console and webhooks keep the OpenAPI documents that they serve, on the real stack, whatever is thrown at them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode

from bench.waiting import until
from schemas.topics import Topic, topic_name
from tests.e2e.conftest import RunningSystem, running
from tests.services.sdk.producing import send_raw

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]
EXAMPLES_PER_OPERATION: Final = 15
SEED: Final = 0
"""The same requests every time."""
WAIT_S: Final = 40.0
FAILURES_SHOWN_MAX: Final = 20
ANSWERED_WITHIN_S: Final = 120
"""No promise: a machine that is busy with other tests takes its time."""
FOUND_MIN: Final = 0.6
"""Of the requests that keep the document, so many must find what they ask for. The rest names what is not there."""
STREAMS: Final = "GET /api/v2/events"
"""An answer without an end has tests of its own."""
CONTACT, SEGMENT = "made-1", "made-pro"
WHERES: Final = ("plan is Pro", "mrr > 10 AND NOT plan is free", f"in segment {SEGMENT}", "seen within last 3 days")
MODES = pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as said", "not as said"]
)


@dataclass
class Answers:
    """What was answered, by operation and status, and what was not as documented."""

    counted: dict[tuple[str, int], int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def take(self, case: Any, response: Any, headers: Mapping[str, str]) -> None:
        """Count an answer and hold it to the document. What it breaks is told at the end: a second try would be another
        story, because the first one changed what is there."""
        answer = (case.operation.label, response.status_code)
        self.counted[answer] = self.counted.get(answer, 0) + 1
        try:
            case.validate_response(response, transport_kwargs={"headers": headers})
        except BaseExceptionGroup as group:
            sent = case.as_curl_command()
            self.broken += [f"{case.operation.label}: {error}\n{sent}\n{response.text}" for error in group.exceptions]

    @property
    def found_share(self) -> float:
        """How many of the requests were answered with a success."""
        return sum(n for (_, status), n in self.counted.items() if status < 300) / sum(self.counted.values())

    def show(self, service: str, mode: GenerationMode) -> None:
        """Print what was sent and answered, for whoever runs with `-s`."""
        statuses: dict[int, int] = {}
        for (_, status), count in self.counted.items():
            statuses[status] = statuses.get(status, 0) + count
        met = len({label for label, _ in self.counted})
        told = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
        sys.stdout.write(
            f"\nschemathesis, {service}, {mode.value}: {sum(statuses.values())} requests to {met} operations: {told}; "
            f"{self.found_share:.0%} answered 2xx\n"
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system in which there is something to ask for."""
    environment = {
        "TIDEGATE_WEBHOOKS_ALLOW_LOCAL": "true",
        "TIDEGATE_RATE_LIMIT_PER_S": "1000000",
        "TIDEGATE_WEBHOOKS_RATE_LIMIT_PER_S": "1000000",
    }
    with running(tmp_path_factory.mktemp("generated"), environment) as system:
        system.post("/segments", {"id": SEGMENT, "where": "plan is Pro"})
        system.post("/contacts", {"id": CONTACT, "attributes": {"plan": "pro", "mrr": 20}})
        asyncio.run(send_raw(system.kafka, topic_name("", Topic.CONTACT_CHANGES), b"\xffpoison", key=b"made-2"))
        until(lambda: _is_member(system), WAIT_S, "the contact to become a member")
        until(lambda: _letters(system), WAIT_S, "the dead letter")
        yield system


def _is_member(system: RunningSystem) -> bool:
    answer = system.http.get(f"{system.console}/api/v2/segments/{SEGMENT}/members")
    return answer.is_success and bool(answer.json()["members"])


def _letters(system: RunningSystem) -> list[Any]:
    found: list[Any] = system.http.get(f"{system.console}/api/v2/dead-letters").json()["dead_letters"]
    return found


def described(system: RunningSystem, path: str) -> Any:
    """What the service says of itself, as schemathesis reads it."""
    document = system.http.get(f"{system.console}{path}").raise_for_status().json()
    # Who may do what has tests of its own; here every request has a key that may do everything.
    del document["components"]["securitySchemes"]
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
            # A key made up twice for two requests is rightly refused; it has tests of its own.
            known = operation.get("parameters", [])
            operation["parameters"] = [each for each in known if each["name"] != "Idempotency-Key"]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = system.console
    schema.config.request_timeout = ANSWERED_WITHIN_S
    return schema


def ask(api: Any, system: RunningSystem, mode: GenerationMode, make_sense: Callable[[Any], None]) -> Answers:
    """Send generated requests to every operation, every check on."""
    answers, headers = Answers(), {"Authorization": f"Bearer {system.key}"}
    for result in api.get_all_operations():
        operation = result.ok()
        if operation.label == STREAMS:
            continue

        @hypothesis.seed(SEED)
        @hypothesis.settings(
            max_examples=EXAMPLES_PER_OPERATION,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def is_answered_as_documented(case: Any) -> None:
            if mode is GenerationMode.POSITIVE:
                make_sense(case)
            answers.take(case, case.call(headers=headers), headers)

        try:
            is_answered_as_documented()
        except (hypothesis.errors.Unsatisfiable, hypothesis.errors.FailedHealthCheck):
            continue  # nothing about this operation's requests can be wrong
    return answers


def judge(answers: Answers, service: str, mode: GenerationMode) -> None:
    """Nothing was broken, nothing failed, and requests that make sense mostly found something."""
    answers.show(service, mode)
    by_sort = {told.partition("\n")[0]: told for told in answers.broken}
    assert not by_sort, "\n\n".join([*by_sort.values()][:FAILURES_SHOWN_MAX])
    assert not [answer for answer in answers.counted if answer[1] in (401, 500, 501)]
    if mode is GenerationMode.POSITIVE:
        assert answers.found_share >= FOUND_MIN, answers.counted


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does, inside its strategies
@MODES
def test_the_console_answers_every_request_as_its_document_says(stack: RunningSystem, mode: GenerationMode) -> None:
    (letter,) = _letters(stack)
    there = {"contact_id": CONTACT, "segment_id": SEGMENT, **{name: letter[name] for name in ("partition", "offset")}}
    asked = 0

    def make_sense(case: Any) -> None:
        nonlocal asked
        asked += 1
        if asked % 4:
            case.path_parameters = {
                name: there.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
            if case.query and "segment" in case.query:
                case.query["segment"] = SEGMENT
        if case.query and case.operation.label.endswith(("/changes", "/dead-letters")):
            case.query.pop("after", None)  # a cursor is what a page before said
        if case.operation.label == "POST /api/v2/segments/preview":
            case.body = {"where": WHERES[asked % len(WHERES)], "id": SEGMENT}
        if case.operation.label == "POST /api/v2/session":
            case.body = {"key": stack.key}

    judge(ask(described(stack, "/api/v2/openapi.json"), stack, mode, make_sense), "console", mode)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does, inside its strategies
@MODES
def test_webhooks_answer_every_request_as_their_document_says(stack: RunningSystem, mode: GenerationMode) -> None:
    asked = 0

    def make_sense(case: Any) -> None:
        nonlocal asked
        asked += 1
        if case.operation.label == "POST /api/v2/webhooks":
            case.body = {**case.body, "url": f"http://127.0.0.1:9/{asked}"}
        if "webhook_id" in (case.path_parameters or {}) and asked % 4:
            case.path_parameters["webhook_id"] = made_webhook(stack, asked)

    judge(ask(described(stack, "/api/v2/webhooks/openapi.json"), stack, mode, make_sense), "webhooks", mode)


def made_webhook(system: RunningSystem, number: int) -> str:
    """A webhook that is there now."""
    answer: httpx.Response = system.http.post(
        f"{system.console}/api/v2/webhooks", json={"url": f"http://127.0.0.1:9/made/{number}"}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
