"""What answers at the address may be another service: that is said, in the client's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tidegate import Tidegate, TidegateError
from tidegate.errors import UnreachableError

ASKED: dict[str, Callable[[Tidegate], Awaitable[object]]] = {
    "a value": lambda client: client.contact("u"),
    "a list": lambda client: client.segments(),
    "a segment": lambda client: client.segment("pro"),
    "a document": lambda client: client.status(),
    "an explanation": lambda client: client.explain("u", "pro"),
    "a write": lambda client: client.set_contact("u", {"plan": "pro"}),
    "an erasure": lambda client: client.delete_contact("u"),
    "a deletion": lambda client: client.delete_segment("pro", etag='"1"'),
    "a revocation": lambda client: client.revoke_key("k"),
}
STRANGE = {"a list": b"[]", "a number": b"7", "another's object": b'{"ok": true}', "a page": b"<html>", "nothing": b""}


async def asked_of(answer: httpx.Response, ask: Callable[[Tidegate], Awaitable[object]]) -> str:
    transport = httpx.MockTransport(lambda _: answer)
    async with Tidegate("http://elsewhere", transport=transport) as client:
        with pytest.raises(TidegateError) as raised:
            await ask(client)
    return str(raised.value)


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
async def test_another_services_answer_is_no_answer(ask: Callable[[Tidegate], Awaitable[object]], body: bytes) -> None:
    said = await asked_of(httpx.Response(200, content=body), ask)
    assert said.startswith("http://elsewhere/api/v2/")
    assert said.endswith("is it a Tidegate service?")


async def test_it_is_said_what_of_an_answer_is_strange() -> None:
    contact = {"id": "u", "attributes": 7}
    said = await asked_of(httpx.Response(200, json=contact), lambda client: client.contact("u"))
    assert "(as Contact, /attributes: Input should be a valid dictionary)" in said
    receipts = {"receipts": [{"id": "u", "status": 202}, {"id": "v", "status": "many"}]}
    said = await asked_of(httpx.Response(200, json=receipts), lambda client: client.set_contacts([]))
    assert "(as Receipt, /status: " in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(302, headers={"Location": "https://other/"}), "answered 302 Found, to https://other/"),
        (httpx.Response(400, text="The plain HTTP request was sent"), "answered 400 Bad Request: The plain HTTP"),
        (httpx.Response(502, json=["down"]), "answered 502 Bad Gateway: ['down']"),
    ],
)
async def test_an_error_without_a_problem_document_is_said_with_the_address(answer: httpx.Response, words: str) -> None:
    said = await asked_of(answer, lambda client: client.contact("u"))
    assert said.startswith(f"http://elsewhere/api/v2/contacts/u {words}")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("refused"), "nothing answers at http://elsewhere (refused); is it running?"),
        (httpx.ReadTimeout(""), "http://elsewhere did not answer in time (ReadTimeout)"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER]"), "http://elsewhere does not speak TLS as was asked"),
        (httpx.RemoteProtocolError("illegal request line"), "http://elsewhere broke off, or speaks no HTTP"),
        (httpx.ReadError(""), "http://elsewhere broke off, or speaks no HTTP (ReadError)"),
    ],
)
async def test_what_answers_and_cannot_be_read_is_not_nothing(error: httpx.TransportError, words: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with Tidegate("http://elsewhere", transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(UnreachableError) as raised:
            await client.segments()
    assert str(raised.value).startswith(words)


async def test_an_event_that_is_not_json_is_another_services() -> None:
    stream = httpx.Response(200, text="data: hello\n\n", headers={"Content-Type": "text/event-stream"})

    async def follow(client: Tidegate) -> None:
        async for _ in client.events():
            pass

    assert "an event that is not JSON; is it a Tidegate service?" in await asked_of(stream, follow)
