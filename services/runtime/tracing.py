"""OpenTelemetry traces, for those who configure a collector: a request, its records on the log, their evaluation.

Rule: without `OTEL_EXPORTER_OTLP_ENDPOINT` this module is not even imported. Sampling follows OpenTelemetry's own
variables (`OTEL_TRACES_SAMPLER` and so on). A span carries names, numbers and positions, never a contact or a value.
The context travels in W3C's `traceparent` header, over HTTP and on records alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
SCOPE: Final = "tidegate"
FLUSH_MS: Final = 3_000
"""How long a stop waits for the collector."""
SERVER_ERROR: Final = 500

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """What a service's traces are made with. `close` sends what is left."""

    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"tidegate-{service}"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SCOPE)

    def close(self) -> None:
        """Send what is left, within a bound. Blocks."""
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()

    @contextmanager
    def serving(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """Span of a request, the caller's trace going on if it sent one."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name == b"traceparent"}
        with self._tracer.start_as_current_span(
            method, _PROPAGATOR.extract(carrier), SpanKind.SERVER, {"http.request.method": method}
        ) as span:
            yield span

    def served(self, span: Span, method: str, route: str, status: int) -> None:
        """Say how a request ended."""
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)

    @contextmanager
    def appending(self, topic: str, records: int) -> Iterator[list[tuple[str, bytes]]]:
        """Span of handing records to the broker; gives the headers that carry it, none if it is not sampled."""
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.batch.message_count": records,
        }
        with self._tracer.start_as_current_span(f"send {topic}", None, SpanKind.PRODUCER, attributes) as span:
            carrier: dict[str, str] = {}
            if span.get_span_context().trace_flags.sampled:
                _PROPAGATOR.inject(carrier)
            yield [(name, value.encode()) for name, value in carrier.items()]

    def begin(
        self,
        name: str,
        parent: bytes | Span,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        began_ns: int | None = None,
    ) -> Span | None:
        """Begin a span under a record's `traceparent` or another span; None if that is not sampled or unreadable.

        Units: `began_ns` in nanoseconds since the epoch; now if None.
        """
        context = _context(parent)
        if not trace.get_current_span(context).get_span_context().trace_flags.sampled:
            return None
        return self._tracer.start_span(name, context, kind, dict(attributes), start_time=began_ns)


def _context(parent: bytes | Span) -> Context:
    if isinstance(parent, bytes):
        return _PROPAGATOR.extract({TRACEPARENT: parent.decode("latin-1")}, Context())
    return trace.set_span_in_context(parent, Context())
