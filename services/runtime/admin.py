"""The admin server: `/metrics`, `/live` and `/ready` on a port of their own, never the public one.

Rule: it runs on a thread beside the event loop, so that it still answers, and says so, when the loop is stuck. It reads
immutable snapshots only and never touches the service's state. Nothing here needs a key, so nothing here says anything
about contacts.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import orjson

from services.runtime import clock, metrics
from services.runtime.errors import StartRefusedError
from services.runtime.health import Health
from services.runtime.logs import get_logger

STOP_POLL_S = 0.5
"""How soon the serving thread notices that it should end; its only work when idle."""
REQUEST_TIMEOUT_S = 10
"""A client that does not finish its request by then, however often a byte comes, is cut off, so that threads cannot
pile up; so is one that does not take its answer."""

log = get_logger("admin")


class AdminServer:
    """Serves one process's health and metrics until closed."""

    def __init__(self, service: str, health: Health, host: str, port: int) -> None:
        """Bind the port at once. Errors: raises `StartRefusedError` when it is taken."""

        class Handler(_AdminHandler):
            answers = _Answers(service, health)

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise StartRefusedError(
                f"the admin port {host}:{port} cannot be used: {error.strerror}; set TIDEGATE_ADMIN_PORT to a free one"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="admin", daemon=True
        )

    @property
    def port(self) -> int:
        """The port in use, also when 0 was asked for."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - what the base hands over
        """Say nothing of a peer that left before its answer, as a probe does that waits no longer."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("defect", exc_info=error)


class _Answers:
    """What each path answers: status, body and content type."""

    def __init__(self, service: str, health: Health) -> None:
        self._service = service
        self._health = health

    def live(self) -> tuple[HTTPStatus, bytes, str]:
        health = self._health
        status = HTTPStatus.OK if health.live else HTTPStatus.SERVICE_UNAVAILABLE
        return status, self._json(live=health.live, beat_age_ms=health.beat_age_ms), "application/json"

    def ready(self) -> tuple[HTTPStatus, bytes, str]:
        readiness = self._health.readiness
        status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, self._json(ready=readiness.ready, reason=readiness.reason), "application/json"

    def metrics(self) -> tuple[HTTPStatus, bytes, str]:
        metrics.READY.set(1 if self._health.readiness.ready else 0)
        body, content_type = metrics.exposition()
        return HTTPStatus.OK, body, content_type

    def unknown(self) -> tuple[HTTPStatus, bytes, str]:
        return HTTPStatus.NOT_FOUND, self._json(paths=["/live", "/metrics", "/ready"]), "application/json"

    def _json(self, **facts: object) -> bytes:
        return orjson.dumps({"service": self._service, **facts}) + b"\n"


class _Arriving(io.RawIOBase):
    """What comes on a connection until an instant. Reading on after it is a TimeoutError."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        super().__init__()
        self._connection = connection
        self._until = until

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, into: Any) -> int:
        """As much as is there. Errors: OSError."""
        left_s = self._until - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request did not come in time")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(into)


class _AdminHandler(BaseHTTPRequestHandler):
    """One request; keeps no connection open."""

    answers: _Answers
    timeout: ClassVar[float] = REQUEST_TIMEOUT_S
    server_version = "tidegate"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Arriving(self.connection, clock.monotonic() + self.timeout))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answers = self.answers
        routes = {"/live": answers.live, "/ready": answers.ready, "/metrics": answers.metrics}
        status, body, content_type = routes.get(path, answers.unknown)()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.connection.settimeout(self.timeout)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own parameter name
        """Say nothing: probes would be most of the log."""
