"""Behind a backlog the changes of one cause are still one delivery, wherever readings end."""

from __future__ import annotations

import pytest

from services.webhooks import follower
from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Step, Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import Receiver
from tests.services.webhooks.test_webhooks import make

pytestmark = pytest.mark.broker
CONTACTS = tuple(f"u{number}" for number in range(12))
SEGMENTS = ("a", "b", "c")


async def test_every_cause_of_a_backlog_is_one_delivery_whatever_is_read_at_once(
    settings: WebhookSettings, stream: Stream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RECORDS_PER_ROUND_MAX", 2)
    async with service(settings) as http:
        await make(http, receiver.url)
    for at in range(1, 3):
        await stream.commit(*(Step(contact, at, SEGMENTS, enters=at == 1) for contact in CONTACTS))
    async with service(settings):
        await receiver.until_accepted(2 * len(CONTACTS))
    told = [[change["segment_id"] for change in request.content["changes"]] for request in receiver.accepted]
    assert told == [list(SEGMENTS)] * (2 * len(CONTACTS))


async def test_what_is_left_of_a_cause_at_the_end_of_the_log_is_delivered(
    settings: WebhookSettings, stream: Stream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Step.changes
    monkeypatch.setattr(Step, "changes", lambda step: whole(step)[:2])
    async with service(settings) as http:
        await make(http, receiver.url)
        await stream.commit(Step("u", 1, SEGMENTS))
        await receiver.until_told({"u": ["enter a", "enter b"]})
        await stream.commit(Step("u", 2, SEGMENTS))
        await receiver.until_told({"u": ["enter a", "enter b"] * 2})
