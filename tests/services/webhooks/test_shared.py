"""Two processes' worth of the service on one broker: they share the partitions, and neither loses nor reorders."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import WAIT_S, Receiver
from tests.services.webhooks.test_killed import CONTACTS, TURNS, applied, until_nothing_is_missing, write
from tests.services.webhooks.test_webhooks import group, make
from tests.waiting import until

pytestmark = pytest.mark.broker


async def working(admin: AdminClient, name: str, count: int) -> set[str]:
    """The members of the group that have partitions, once there are so many."""

    def found() -> set[str]:
        described = admin.describe_consumer_groups([name])[name].result(timeout=WAIT_S)
        return {member.member_id for member in described.members if member.assignment.topic_partitions}

    async def enough() -> set[str] | None:
        members = await asyncio.to_thread(found)
        return members if len(members) == count else None

    members = await until(enough, WAIT_S, f"{count} members with partitions")
    assert members is not None
    return members


@pytest.mark.timeout(400)
async def test_a_second_service_that_comes_and_goes_loses_nothing_and_keeps_the_order_of_every_contact(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
        of_webhook = await group(admin, settings, webhook["id"])
        writing = asyncio.create_task(write(stream))
        await receiver.until_accepted(CONTACTS * TURNS // 4)
        alone = await working(admin, of_webhook, 1)
        async with service(settings):
            # One that did not answer in time is thrown out, and comes back under another name.
            assert alone < await working(admin, of_webhook, 2), "the first let go of its partitions by dying"
            await writing
        await until_nothing_is_missing(receiver)
    for contact, offsets in applied(receiver.accepted).items():
        assert len(offsets) == TURNS, f"{contact} met its changes in another order, or not all"
    ids = [request.content["id"] for request in receiver.accepted]
    firsts = {contact: [one for one in dict.fromkeys(ids) if f"|{contact}|" in one] for contact in ("u0", "u7")}
    for contact, seen in firsts.items():
        assert seen == sorted(seen, key=lambda one: int(one.rsplit("|", 1)[1])), contact
