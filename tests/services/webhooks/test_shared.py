"""Two processes' worth of the service on one broker: they share the partitions, and neither loses nor reorders."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient

from services.webhooks.follower import group_of
from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import Receiver
from tests.services.webhooks.test_killed import CONTACTS, TURNS, applied, has_accepted, until, write
from tests.services.webhooks.test_webhooks import make

pytestmark = pytest.mark.broker
SHARED_WITHIN_S = 9.0
"""Sooner than a member that does not answer is thrown out."""


async def shared(admin: AdminClient, group: str) -> None:
    """Return when two members have partitions."""
    async with asyncio.timeout(SHARED_WITHIN_S):
        while True:
            if len(await asyncio.to_thread(working, admin, group)) == 2:
                return
            await asyncio.sleep(0.1)


def working(admin: AdminClient, group: str) -> list[str]:
    """The members of the group that have partitions."""
    described = admin.describe_consumer_groups([group])[group].result(timeout=10)
    return [member.member_id for member in described.members if member.assignment.topic_partitions]


@pytest.mark.timeout(400)
async def test_a_second_service_that_comes_and_goes_loses_nothing_and_keeps_the_order_of_every_contact(
    settings: WebhookSettings, stream: Stream, receiver: Receiver
) -> None:
    everything = CONTACTS * TURNS
    async with service(settings) as http:
        webhook = await make(http, receiver.url)
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
        group = group_of(settings, webhook["id"])
        writing = asyncio.create_task(write(stream))
        await until(lambda: has_accepted(receiver, everything // 4))
        async with service(settings):
            await shared(admin, group)
            await writing
        await until(lambda: len({request.content["id"] for request in receiver.accepted}) == everything)
    for contact, offsets in applied(receiver.accepted).items():
        assert len(offsets) == TURNS, f"{contact} met its changes in another order, or not all"
    ids = [request.content["id"] for request in receiver.accepted]
    firsts = {contact: [one for one in dict.fromkeys(ids) if f"|{contact}|" in one] for contact in ("u0", "u7")}
    for contact, seen in firsts.items():
        assert seen == sorted(seen, key=lambda one: int(one.rsplit("|", 1)[1])), contact
