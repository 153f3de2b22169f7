"""The HTTP client against a scripted service: what it sends, what it raises, when it asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import orjson
import pytest

from tidegate import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    RefusedError,
    Tidegate,
    TidegateError,
    UnreachableError,
    segment,
)

SEGMENT = {"id": "pro", "version": 3, "state": "active", "text": 'plan is "pro"', "where": {"plan": "pro"}}


def service(*answers: httpx.Response) -> tuple[Tidegate, list[httpx.Request]]:
    """A client whose service gives these answers in turn, and what it was asked."""
    asked: list[httpx.Request] = []
    waiting = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return waiting.pop(0)

    return Tidegate("http://service", key="tg_k", transport=httpx.MockTransport(answer)), asked


def refusal(status: int, headers: dict[str, str] | None = None, **document: object) -> httpx.Response:
    return httpx.Response(status, json={"title": "no", **document}, headers=headers)


async def test_a_segment_built_in_code_is_sent_in_the_json_form() -> None:
    client, asked = service(httpx.Response(201, json=SEGMENT, headers={"ETag": '"3"'}))
    where = [{"plan": "pro"}, {"last_active": {"within": "7d"}}, {"email_verified": True}]
    async with client:
        made = await client.create_segment(segment("active_pro_users", where=where, mode="realtime"))
    assert (made.version, made.etag) == (3, '"3"')
    assert asked[0].url.path == "/api/v2/segments"
    assert asked[0].headers["Authorization"] == "Bearer tg_k"
    assert orjson.loads(asked[0].content) == {"id": "active_pro_users", "where": where, "mode": "realtime"}


async def test_a_busy_service_is_asked_again_with_the_same_idempotency_key() -> None:
    busy = refusal(503, {"Retry-After": "0"})
    client, asked = service(busy, httpx.Response(201, json=SEGMENT))
    async with client:
        await client.create_segment(segment("pro", where="plan is pro"))
    assert len({request.headers["Idempotency-Key"] for request in asked}) == 1
    assert len(asked) == 2


async def test_a_request_that_is_still_under_way_is_asked_for_again_and_is_no_conflict() -> None:
    under_way = refusal(409, {"Retry-After": "0"}, code="in_progress")
    client, asked = service(refusal(503, {"Retry-After": "0"}), under_way, httpx.Response(201, json=SEGMENT))
    async with client:
        assert (await client.create_segment(segment("pro", where="plan is pro"))).version == 3
    assert len(asked) == 3


async def test_a_key_may_be_made_for_a_while() -> None:
    until = datetime(2030, 1, 31, 12, tzinfo=UTC)
    made = {"id": "k1", "name": "crm", "scopes": ["admin"], "expires_at": "2030-01-31T12:00:00.000Z", "key": "tg_k1_x"}
    client, asked = service(httpx.Response(201, json=made))
    async with client:
        assert (await client.create_key("crm", ["admin"], expires_at=until)).expires_at == until
    assert orjson.loads(asked[0].content)["expires_at"] == "2030-01-31T12:00:00+00:00"


async def test_a_key_whose_token_was_lost_on_the_way_is_named() -> None:
    client, _ = service(
        httpx.Response(201, json={"id": "k1", "name": "crm", "scopes": ["admin"], "notice": "told once"})
    )
    async with client:
        with pytest.raises(TidegateError, match="key k1 is made"):
            await client.create_key("crm", ["admin"])


async def test_writing_attributes_is_sent_without_a_key_because_twice_is_as_once() -> None:
    client, asked = service(httpx.Response(202, json={"receipts": [{"id": "u", "status": 202}]}))
    async with client:
        (receipt,) = await client.set_contacts([{"id": "u", "attributes": {"plan": "pro"}}])
    assert receipt.status == 202
    assert "Idempotency-Key" not in asked[0].headers


DELETIONS = [lambda client: client.delete_segment("pro", etag='"3"'), lambda client: client.revoke_key("k_1")]


@pytest.mark.parametrize("delete", DELETIONS)
async def test_what_a_repeated_deletion_finds_gone_is_deleted(delete: Callable[[Tidegate], Awaitable[None]]) -> None:
    client, asked = service(
        refusal(503, {"Retry-After": "0"}), refusal(429, {"Retry-After": "0"}), refusal(404), refusal(404)
    )
    async with client:
        await delete(client)
        assert len(asked) == 3
        with pytest.raises(NotFoundError):
            await delete(client)


@pytest.mark.parametrize("delete", DELETIONS)
async def test_a_deletion_that_was_not_let_in_before_is_told_that_there_is_no_such_thing(
    delete: Callable[[Tidegate], Awaitable[None]],
) -> None:
    client, asked = service(refusal(429, {"Retry-After": "0"}), refusal(404))
    async with client:
        with pytest.raises(NotFoundError):
            await delete(client)
    assert len(asked) == 2


async def test_what_is_only_read_and_not_found_when_asked_again_is_not_found() -> None:
    client, asked = service(refusal(503, {"Retry-After": "0"}), refusal(404))
    async with client:
        with pytest.raises(NotFoundError):
            await client.segment("pro")
    assert len(asked) == 2


@pytest.mark.parametrize(
    "value", [float("nan"), [1.0, float("inf")], {"a": {"b": float("-inf")}}, 10**20, "\ud800", object()]
)
async def test_what_json_has_not_is_refused_and_never_sent_as_a_null_that_removes(value: object) -> None:
    client, asked = service()
    async with client:
        with pytest.raises(TidegateError, match="cannot be sent as JSON"):
            await client.set_contacts([{"id": "u1", "attributes": {"plan": None, "mrr": value}}])
    assert asked == []


async def test_a_service_that_stays_busy_is_reported_after_a_bounded_number_of_attempts() -> None:
    client, asked = service(*[refusal(503, {"Retry-After": "0"}) for _ in range(4)])
    async with client:
        with pytest.raises(NotReadyError):
            await client.segments()
    assert len(asked) == 4


async def test_a_long_wait_is_left_to_the_caller() -> None:
    client, asked = service(refusal(503, {"Retry-After": "60"}))
    async with client:
        with pytest.raises(NotReadyError) as raised:
            await client.contact("u")
    assert raised.value.retry_after_s == 60
    assert len(asked) == 1


async def test_a_refused_expression_keeps_every_problem_with_its_place_and_hint() -> None:
    problems = [{"code": "expects_number", "message": "`>` compares numbers", "hint": "write 99", "pointer": "/where",
                 "span": {"line": 1, "column": 7, "length": 6}}]  # fmt: skip
    client, _ = service(refusal(422, detail="the expression has 1 problem", errors=problems))
    async with client:
        with pytest.raises(RefusedError) as raised:
            await client.validate('mrr > "lots"')
    (error,) = raised.value.errors
    assert (error.code, error.hint, error.column, error.length) == ("expects_number", "write 99", 7, 6)


@pytest.mark.parametrize(
    "document",
    [
        {"errors": 5},
        {"errors": "no"},
        {"errors": {"message": "no"}},
        {"errors": ["no", None]},
        {"errors": [{"message": "m", "span": 3}]},
        {"errors": [{"message": "m", "span": {"line": "1", "column": [], "length": 1.5}}]},
        {"title": {"a": 1}, "detail": ["b"], "status": "x"},
    ],
    ids=str,
)
async def test_a_problem_that_is_not_told_in_our_form_is_a_problem_all_the_same(document: dict[str, object]) -> None:
    client, _ = service(httpx.Response(422, json=document))
    async with client:
        with pytest.raises(RefusedError) as refused:
            await client.segments()
    assert refused.value.document == document
    assert all((fault.line, fault.column, fault.length) == (None, None, None) for fault in refused.value.errors)


@pytest.mark.parametrize(("status", "kind"), [(401, NotAllowedError), (403, NotAllowedError), (412, ConflictError)])
async def test_each_refusal_has_the_class_that_says_whose_turn_it_is(status: int, kind: type[Exception]) -> None:
    client, _ = service(refusal(status))
    async with client:
        with pytest.raises(kind):
            await client.delete_segment("pro", etag='"1"')


async def test_ids_with_slashes_and_spaces_stay_one_path_segment() -> None:
    client, asked = service(httpx.Response(200, json={"id": "a/b c", "attributes": {}}))
    async with client:
        await client.contact("a/b c")
    assert asked[0].url.raw_path == b"/api/v2/contacts/a%2Fb%20c"


async def test_an_id_of_dots_alone_is_no_step_in_the_path() -> None:
    client, asked = service(httpx.Response(200, json={"id": "..", "attributes": {}}))
    async with client:
        await client.contact("..")
    assert asked[0].url.raw_path == b"/api/v2/contacts/%2E%2E"


async def test_an_address_with_the_apis_path_is_the_services() -> None:
    for url in ("http://tidegate/api/v2", "http://tidegate/api/v2/", "http://tidegate/"):
        asked: list[str] = []

        def answer(request: httpx.Request, asked: list[str] = asked) -> httpx.Response:
            asked.append(str(request.url))
            return httpx.Response(200, json={"segments": []})

        async with Tidegate(url, transport=httpx.MockTransport(answer)) as tidegate:
            await tidegate.segments()
        assert asked == ["http://tidegate/api/v2/segments"]


async def test_nothing_listening_is_said_with_the_address_and_what_to_do() -> None:
    async with Tidegate("http://127.0.0.1:9") as client:
        with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 .*tidegate up"):
            await client.segments()


async def test_server_sent_events_are_read_with_their_ids_and_comments_are_dropped() -> None:
    stream = b': hello\n\nid: 0-5\nevent: change\ndata: {"segment_id":\ndata: "a"}\n\n'
    client, asked = service(httpx.Response(200, content=stream, headers={"Content-Type": "text/event-stream"}))
    async with client:
        events = [event async for event in client.events(segment_id="a", last_id="0-4")]
    assert [(event.name, event.id, event.data) for event in events] == [("change", "0-5", {"segment_id": "a"})]
    assert asked[0].headers["Last-Event-ID"] == "0-4"
