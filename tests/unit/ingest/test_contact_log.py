"""A buffer that is full: refused at once, and counted like whatever else was not acknowledged."""

from __future__ import annotations

from segmentation.model import ContactId
from services.ingest import metrics
from services.ingest.admission import Admitted
from services.ingest.contact_log import BUFFERED_BYTES_MAX, ContactLog, NotAppended


def unacknowledged() -> float:
    (counted,) = metrics.CONTACT_CHANGES_UNACKNOWLEDGED.collect()
    return next(sample.value for sample in counted.samples if sample.name.endswith("_total"))


async def test_what_a_full_buffer_does_not_take_is_counted_by_either_way_to_the_log() -> None:
    log = ContactLog(None, "contact-changes", 1, 1_000)
    log._hold(BUFFERED_BYTES_MAX)
    before = unacknowledged()
    assert isinstance(await log.append_one("u", b"{}", []), NotAppended)
    assert unacknowledged() == before + 1
    (outcome,) = await log.append([Admitted(ContactId("u"), "m", b"{}")])
    assert isinstance(outcome, NotAppended)
    assert unacknowledged() == before + 2
