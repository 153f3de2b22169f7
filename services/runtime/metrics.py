"""Prometheus metrics: one registry a process, the bucket bounds and the names' shape in one place.

Rule: names are `tidegate_<noun>_<unit>[_total]`; labels are bounded sets (service, partition, kind), never a contact,
a segment or a value. A metric that nobody can act on is not exported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

LATENCY_BUCKETS_S = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.008,
    0.012,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""For latencies from half a millisecond to a minute, densest where the product's promises lie (8 ms, 1 s)."""
SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""For counts of records in one batch or transaction."""

NAME = re.compile(r"^tidegate_[a-z0-9]+(_[a-z0-9]+)*$")
LABELS_FORBIDDEN = frozenset({"contact", "contact_id", "attribute", "value", "key", "path", "url"})

# Each series would come with a second one that tells when it began; nothing reads it, and it doubles every scrape.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one function untyped

REGISTRY = CollectorRegistry(auto_describe=True)
"""The process's registry. The library's global one is not used, so that a test can see exactly what we export."""
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


class MetricNameError(ValueError):
    """A metric's name or label breaks the rule of this module; our bug."""


def counter(name: str, about: str, labels: Sequence[str] = (), *, registry: CollectorRegistry = REGISTRY) -> Counter:
    """Register a counter; its exported name ends in `_total`."""
    return Counter(_checked(name, labels), about, labels, registry=registry)


def gauge(name: str, about: str, labels: Sequence[str] = (), *, registry: CollectorRegistry = REGISTRY) -> Gauge:
    """Register a gauge."""
    return Gauge(_checked(name, labels), about, labels, registry=registry)


def histogram(
    name: str,
    about: str,
    labels: Sequence[str] = (),
    *,
    buckets: Sequence[float] = LATENCY_BUCKETS_S,
    registry: CollectorRegistry = REGISTRY,
) -> Histogram:
    """Register a histogram; the buckets are upper bounds, inclusive, in the name's unit."""
    return Histogram(_checked(name, labels), about, labels, buckets=buckets, registry=registry)


def exposition(registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """Return the metrics in Prometheus' text form, and its content type."""
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _checked(name: str, labels: Sequence[str]) -> str:
    if not NAME.match(name):
        raise MetricNameError(f"metric {name!r} should look like tidegate_<noun>_<unit>")
    forbidden = LABELS_FORBIDDEN.intersection(labels)
    if forbidden:
        raise MetricNameError(f"metric {name!r} has the unbounded label {min(forbidden)!r}")
    return name


EVENT_LOOP_LAG_SECONDS = gauge("tidegate_event_loop_lag_seconds", "How late the last heartbeat of the event loop was.")
READY = gauge("tidegate_ready_info", "1 while the process declares itself ready, otherwise 0.")
UNREADABLE_LOG_RECORDS = counter(
    "tidegate_unreadable_log_records",
    "Records without sense in topics that only Tidegate writes to; passed by.",
    ("topic",),
)
