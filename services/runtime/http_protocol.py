"""What a peer may take its time over: uvicorn's HTTP/1.1 protocol with time and room for headers that end.

Rule: a connection that does not finish a request's headers in time, sends more of them than anybody needs, or says what
is no HTTP, is answered with a problem document and closed, behind the answers that are still under way on it; one whose
request was answered before its body came whole is closed soon after, and one that takes nothing of its answer, or of
the last part of it, is cut off. How long a body may take is its reader's business; what is said around it (sizes of
chunks, fields behind the last one) is bounded like headers, and read by nobody. Who offers another protocol (`Upgrade`,
as Java's client does of itself) is answered in this one. The usual request, whose headers come at once, costs no timer.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.problems import PROBLEM_JSON, ProblemError, problem_document

HEADER_TIMEOUT_S: Final = 10.0
"""From the opening of a connection, or the first byte of a later request on it."""
HEADER_BYTES_MAX: Final = 64 * 1024
UNREAD_BODY_LINGER_S: Final = 5.0
"""How long the rest of a body may still come after the answer, so that the sender gets to read it."""
UNTAKEN_ANSWER_S: Final = 120.0
"""How long a peer may take nothing at all of what waits for it."""
_OFFERING: Final = frozenset({b"upgrade", b"http2-settings"})
"""The headers of an offer, and what `Connection` calls them."""


class _Awaiting(Enum):
    REQUEST = "a request"
    HEADERS = "the rest of a request's headers"
    BODY = "the rest of a request's body"


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._awaiting = _Awaiting.HEADERS
        self._header_bytes = 0
        self._body_came = False
        self._deadline: asyncio.TimerHandle | None = None
        self._refusal: ProblemError | None = None
        self._untaken: asyncio.TimerHandle | None = None
        self._begun = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower than asyncio's, as in the base
        """A connection that never says anything counts as headers that never end."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADER_TIMEOUT_S, self._headers_took_too_long)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._forget_deadline()
        self._forget_untaken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer takes less than it is sent; one that takes nothing would hold its request for ever."""
        super().pause_writing()
        self._forget_untaken()
        self._watch_untaken()

    def resume_writing(self) -> None:
        """The peer has taken most of what waited; the last of an answer has to be taken too."""
        self._forget_untaken()
        super().resume_writing()
        if not self._is_answering():
            self._watch_untaken()

    def data_received(self, data: bytes) -> None:
        """Pass on, then see whether headers are still under way, or what is said around a body."""
        self._body_came = False
        self._feed(data)
        if self._awaiting is _Awaiting.REQUEST or self.transport.is_closing():
            return
        self._header_bytes = 0 if self._body_came else self._header_bytes + len(data)
        if self._header_bytes > HEADER_BYTES_MAX:
            detail = f"at most {HEADER_BYTES_MAX} bytes are taken"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail)
        elif self._awaiting is _Awaiting.HEADERS and self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_TIMEOUT_S, self._headers_took_too_long)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begun += 1
        self._awaiting = _Awaiting.HEADERS
        self._header_bytes = 0
        self._body_came = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. A field behind the body is none: the request was admitted without it."""
        if self._awaiting is _Awaiting.HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        if self._is_offer():
            return
        super().on_headers_complete()
        self._awaiting = _Awaiting.BODY
        self._header_bytes = 0
        self._forget_deadline()

    def on_body(self, body: bytes) -> None:
        """Some of the body itself."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body came whole."""
        if self._is_offer():
            return
        self._awaiting = _Awaiting.REQUEST
        self._forget_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out, though it may wait to be taken; a body that nobody reads has to end soon."""
        super().on_response_complete()
        if self._untaken is None:
            self._watch_untaken()
        if self._refusal is not None:
            self._answer(self._refusal)
        if self._awaiting is _Awaiting.BODY and not self.transport.is_closing():
            self._forget_deadline()
            self._deadline = self.loop.call_later(UNREAD_BODY_LINGER_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library says what we say better
        """What came is no HTTP. Whatever request it stands in is not waited for any more."""
        self._refuse(HTTPStatus.BAD_REQUEST, "no_http", "what came is no HTTP/1.1 request")

    def _feed(self, data: bytes) -> None:
        """Parse. The parser takes what is behind an offer for another protocol's, a body too, so it gets it anew."""
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            else:
                return

    def _is_offer(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                kept = b",".join(option for option in value.split(b",") if option.strip().lower() not in _OFFERING)
            if name not in _OFFERING:
                lines.append(b"%b: %b" % (name, kept))
        return b"\r\n".join([*lines, b"", b""])

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_untaken(self) -> None:
        """See in a while whether the peer has taken some of what waits, for which a connection to be closed stays."""
        waiting = self.transport.get_write_buffer_size()
        self._untaken = (
            self.loop.call_later(UNTAKEN_ANSWER_S, self._cut_off_unless_taken, waiting, self._begun)
            if waiting
            else None
        )

    def _cut_off_unless_taken(self, waiting: int, requests: int) -> None:
        """Whoever asks again may have taken all of it, and what waits now be of another answer."""
        if self.transport.get_write_buffer_size() < waiting or self._begun != requests:
            self._watch_untaken()
        else:
            self.transport.abort()

    def _forget_untaken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # none before the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _headers_took_too_long(self) -> None:
        self._deadline = None
        if self._is_answering():
            # The request before is still being answered on this connection; its answer must not be cut into.
            self._deadline = self.loop.call_later(HEADER_TIMEOUT_S, self._headers_took_too_long)
        else:
            detail = f"the headers did not arrive within {HEADER_TIMEOUT_S:.0f} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "headers_timeout", detail)

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        self._answer(ProblemError(status, code, status.phrase.lower(), detail))

    def _answer(self, refusal: ProblemError) -> None:
        if self.transport.is_closing():
            return
        if self._is_answering() and not self._is_cut_off():
            # An answer is not cut into: the refusal comes behind it, and until then nothing more is read.
            self._refusal = refusal
            self.flow.pause_reading()
            return
        if self._awaiting is _Awaiting.BODY and self.cycle.response_complete:
            # The request has its answer; another would be taken for the next one's.
            self.transport.close()
            return
        body = problem_document(refusal)
        head = (
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\ncontent-type: {PROBLEM_JSON}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _is_cut_off(self) -> bool:
        """Whether the only request in hand is one whose body will not come whole, and that has no answer yet."""
        return self._awaiting is _Awaiting.BODY and not self.pipeline and not self.cycle.response_started
