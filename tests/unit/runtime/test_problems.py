"""Every way for a request to fail is answered with a problem document, and nothing internal is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from structlog.testing import CapturingLogger

from services.runtime import problems
from services.runtime.errors import ServiceError
from services.runtime.problems import (
    FAULTS_SHOWN_MAX,
    HANDLERS,
    PROBLEM_JSON,
    STEP_CHARACTERS_MAX,
    ProblemError,
    invalid,
    model_faults,
    unavailable,
)


class Wanted(BaseModel):
    """What a body is read as."""

    limit: int


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(exception_handlers=dict(HANDLERS))

    router = APIRouter(prefix="/things")

    @router.put("/{name}")
    @router.delete("/{name}")
    async def change(name: str) -> str:
        return name

    app.include_router(router)

    @app.get("/read")
    async def read(limit: int) -> int:
        return limit

    @app.get("/raise/{kind}")
    async def fail(kind: str) -> None:
        try:
            Wanted.model_validate({"limit": "secret"})
        except ValidationError as error:
            faults = model_faults(error, 'send {"limit": 1}')
        raise {
            "key": ProblemError(401, "no_key", "an API key is needed"),
            "wait": unavailable("later", "not now", "ask again", retry_after_s=5),
            "starting": ProblemError(503, "starting", "not yet"),
            "body": invalid(faults),
            "service": ServiceError("partition 3 of a-topic is gone"),
            "defect": RuntimeError("an internal word"),
        }[kind]

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("kind", ["service", "defect"])
@pytest.mark.parametrize("given", ["req_7", None])
async def test_what_failed_is_logged_under_the_id_that_the_answer_carries(
    kind: str, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = CapturingLogger()
    monkeypatch.setattr(problems, "log", logged)
    app = FastAPI(exception_handlers=dict(HANDLERS))

    @app.get("/raise")
    async def fail(request: Request) -> None:
        if given is not None:
            request.state.request_id = given
        raise {"service": ServiceError("gone"), "defect": RuntimeError("an internal word")}[kind]

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/raise")
    (line,) = logged.calls
    assert line.kwargs["request_id"] == (given or answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nothing", 404, "unknown_path"),
        ("/read?limit=x", 422, "invalid_request"),
        ("/raise/key", 401, "no_key"),
        ("/raise/wait", 503, "later"),
        ("/raise/body", 422, "invalid_request"),
        ("/raise/service", 503, "service_failed"),
        ("/raise/defect", 500, "defect"),
    ],
)
async def test_every_failure_is_a_problem_document(http: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await http.get(path)
    assert answer.headers["Content-Type"] == PROBLEM_JSON
    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code)
    assert told["title"]
    assert "internal" not in answer.text
    assert "a-topic" not in answer.text
    assert "secret" not in answer.text


async def test_a_wrong_method_is_told_apart_from_an_unknown_path(http: httpx.AsyncClient) -> None:
    answer = await http.post("/read")
    assert (answer.status_code, answer.json()["code"], answer.headers["Allow"]) == (405, "wrong_method", "GET")


async def test_a_wrong_method_is_told_all_that_the_path_knows(http: httpx.AsyncClient) -> None:
    assert (await http.post("/things/a")).headers["Allow"] == "DELETE, PUT"


async def test_what_passes_by_itself_says_when_to_ask_again(http: httpx.AsyncClient) -> None:
    waits = {
        path: (await http.get(f"/raise/{path}")).headers["Retry-After"] for path in ("wait", "starting", "service")
    }
    assert waits == {"wait": "5", "starting": "1", "service": "1"}


async def test_who_has_no_key_is_told_how_to_send_one(http: httpx.AsyncClient) -> None:
    assert (await http.get("/raise/key")).headers["WWW-Authenticate"] == 'Bearer realm="tidegate"'


async def test_each_fault_points_at_its_place(http: httpx.AsyncClient) -> None:
    of_parameter = (await http.get("/read?limit=x")).json()["errors"]
    of_body = (await http.get("/raise/body")).json()["errors"]
    assert [(fault["pointer"], fault["code"]) for fault in of_parameter] == [("/query/limit", "int_parsing")]
    assert [(fault["pointer"], fault["hint"]) for fault in of_body] == [("/limit", 'send {"limit": 1}')]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def test_of_what_a_model_found_wrong_a_bounded_part_is_told_and_its_pointers_are_json_pointers() -> None:
    with pytest.raises(ValidationError) as raised:
        Strict.model_validate({"a/b~c": 1, "k" * (STEP_CHARACTERS_MAX + 1): 1, **{str(n): n for n in range(1_000)}})
    faults = model_faults(raised.value, "hint")
    assert len(faults) == FAULTS_SHOWN_MAX
    assert [fault.pointer for fault in faults[:3]] == ["/a~1b~0c", "", "/0"]
