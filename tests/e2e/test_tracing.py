"""A trace follows a write from the HTTP request to its membership change, over three processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.waiting import until
from tests.e2e.conftest import running

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACED_S = 90.0
CONTACT = "trace-canary-contact"
VALUE = "trace-canary-value"


class Collector:
    """What an OpenTelemetry collector is told: the spans, with the service that made each."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.bytes = b""

    def take(self, body: bytes) -> None:
        """Read one export."""
        self.bytes += body
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(each.value.string_value for each in told.resource.attributes if each.key == "service.name")
            self.spans += [(service, span) for scope in told.scope_spans for span in scope.spans]

    def trace(self) -> list[tuple[str, Span]]:
        """The spans of the caller's trace, by beginning."""
        ours = [(service, span) for service, span in self.spans if span.trace_id.hex() == TRACE]
        return sorted(ours, key=lambda each: each[1].start_time_unix_nano)


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """A collector that listens on loopback, and its endpoint."""
    collector = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_one_trace_holds_the_request_its_record_its_evaluation_and_its_changes(tmp_path: Path) -> None:
    with collecting() as (endpoint, collector):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with running(tmp_path, variables) as system:
            system.define("traced", f'plan is "{VALUE}"')
            system.http.post(
                f"{system.ingest}/api/v2/contacts",
                json={"id": CONTACT, "attributes": {"plan": VALUE}},
                headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "Prefer": "wait=10"},
            ).raise_for_status()
            trace = until(collector.trace, TRACED_S, "four spans", satisfies=lambda spans: len(spans) == 4)
    by_name = {span.name: (service, span) for service, span in trace}
    for service, span in trace:
        took_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        sys.stdout.write(f"{service:20} {span.name:28} {took_ms:7.2f} ms\n")
    expected = {
        "POST /api/v2/contacts": "tidegate-ingest",
        "send contact-changes": "tidegate-ingest",
        "process contact-changes": "tidegate-evaluator",
        "send memberships": "tidegate-evaluator",
    }
    assert {name: service for name, (service, _) in by_name.items()} == expected
    parents = [CALLER, *(by_name[name][1].span_id.hex() for name in list(expected)[:3])]
    assert [by_name[name][1].parent_span_id.hex() for name in expected] == parents
    assert [event.name for event in by_name["send memberships"][1].events] == ["enter"]
    assert CONTACT.encode() not in collector.bytes
    assert VALUE.encode() not in collector.bytes
