"""What the broker does not take: refused, counted, and told of without a line for each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from structlog.testing import capture_logs

from segmentation.model import ContactId
from services.ingest import contact_log, metrics
from services.ingest.admission import Admitted
from services.ingest.contact_log import BUFFERED_BYTES_MAX, ContactLog, NotAppended
from services.runtime.logs import Seldom, get_logger


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


class Refusing:
    """A broker that refuses every record at once, as that of a sealed topic."""

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        refused = asyncio.get_running_loop().create_future()
        refused.set_exception(MessageSizeTooLargeError())
        return refused


async def test_a_broker_that_refuses_every_write_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_log, "log", Seldom(get_logger("a logger that is not bound yet")))
    log, before = ContactLog(Refusing(), "contact-changes", 1, 1_000), unacknowledged()
    with capture_logs() as lines:
        for _ in range(500):
            assert isinstance(await log.append_one("u", b"{}", []), NotAppended)
            await log.append([Admitted(ContactId("u"), "m", b"{}")])
    assert unacknowledged() == before + 1_000
    assert 1 <= len(lines) < 100
    assert "MessageSizeTooLarge" in lines[0]["error"]
