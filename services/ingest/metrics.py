"""What ingest measures."""

from __future__ import annotations

from services.runtime.metrics import counter, gauge, histogram

REQUESTS = counter(
    "tidegate_requests",
    "HTTP requests answered; `route` as in the reference, such as `/api/v2/segments/{segment_id}`.",
    ("method", "route", "status"),
)
REQUEST_SECONDS = histogram("tidegate_request_duration_seconds", "From a request's arrival to its answer.", ("route",))
CONTACT_CHANGES_APPENDED = counter("tidegate_contact_changes_appended", "Contact changes acknowledged by the broker.")
CONTACT_CHANGES_REFUSED = counter("tidegate_contact_changes_refused", "Contact changes that were not admitted.")
CONTACT_CHANGES_UNACKNOWLEDGED = counter(
    "tidegate_contact_changes_unacknowledged", "Contact changes answered with 503: the broker did not acknowledge them."
)
APPEND_SECONDS = histogram("tidegate_append_duration_seconds", "From hand-over to the broker's acknowledgement.")
BUFFERED_BYTES = gauge("tidegate_buffered_bytes", "Bytes handed to the broker's client and not yet acknowledged.")
BODIES_BYTES = gauge("tidegate_bodies_bytes", "Bytes of request bodies that are held.")
SEGMENT_RECORDS_READ = counter("tidegate_segment_records_read", "Records of the segments topic read.", ("accepted",))
PRODUCERS_REPLACED = counter(
    "tidegate_producers_replaced", "Producers whose sending task died and that a new one replaced."
)
IMPORT_ROWS = counter("tidegate_import_rows", "CSV rows read.", ("outcome",))
