"""The real stack answers what its documents say, and sends webhooks that were made through the console's address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from bench.waiting import until
from schemas.partitioner import partition_for
from schemas.topics import Topic, topic_name
from segmentation.model import ContactId
from tests.contracts.answers import Described
from tests.contracts.openapi import console_document, webhooks_document
from tests.e2e.conftest import PARTITIONS, RunningSystem, running
from tests.services.sdk.producing import send_raw
from tests.services.webhooks.receiver import receiving

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
WAIT_S = 40.0
READS = (
    "/contacts", "/contacts/doc-1", "/contacts/doc-1/changes", "/contacts/doc-1/explain?segment=doc-pro",
    "/contacts/doc-1/membership?segment=doc-pro", "/attributes", "/segments", "/segments?brief=true",
    "/segments/doc-pro", "/segments/doc-pro/members", "/segments/doc-pro/changes", "/segments/doc-pro/cost",
    "/status", "/status?probe=true", "/dead-letters", "/session", "/contacts/nobody", "/segments/none/members",
    "/contacts?limit=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system whose webhooks may be received on this machine."""
    with running(tmp_path_factory.mktemp("contracts"), {"TIDEGATE_WEBHOOKS_ALLOW_LOCAL": "true"}) as system:
        yield system


def until_member(system: RunningSystem, contact: str, segment: str) -> None:
    def members() -> list[str]:
        answer = system.http.get(f"{system.console}/api/v2/segments/{segment}/members")
        return [member["contact_id"] for member in answer.json()["members"]] if answer.is_success else [answer.text]

    until(members, WAIT_S, f"{contact} to be a member of {segment}", satisfies=lambda there: contact in there)


def test_every_read_of_the_real_stack_is_what_the_document_says(local: RunningSystem) -> None:
    described = Described(console_document())
    local.post("/segments", {"id": "doc-pro", "where": "plan is Pro AND mrr > 10"})
    local.post("/contacts", {"id": "doc-1", "attributes": {"plan": "pro", "mrr": 20, "tags": ["a", 1]}})
    local.post("/contacts", {"id": "doc-2", "attributes": {"plan": "pro", "mrr": "unreadable"}})
    asyncio.run(send_raw(local.kafka, topic_name("", Topic.CONTACT_CHANGES), b"\xffpoison", key=b"doc-3"))
    until_member(local, "doc-1", "doc-pro")
    for path in READS:
        described.hold(local.http.get(f"{local.console}/api/v2{path}"))
    body = {"where": "plan is Pro", "id": "doc-pro"}
    described.hold(local.http.post(f"{local.console}/api/v2/segments/preview", json=body))
    (letter,) = local.http.get(f"{local.console}/api/v2/dead-letters").json()["dead_letters"]
    assert letter["source"]["partition"] == partition_for(ContactId("doc-3"), PARTITIONS)
    assert (letter["key"], letter["value_is_base64"]) == ("doc-3", True)
    whole = local.http.get(f"{local.console}/api/v2/dead-letters/{letter['partition']}/{letter['offset']}")
    described.hold(whole)
    assert whole.json()["value"] == letter["value"]


async def test_a_webhook_made_through_the_console_gets_what_changes_on_the_stack(local: RunningSystem) -> None:
    described, url = Described(webhooks_document()), f"{local.console}/api/v2/webhooks"
    headers = {"Authorization": f"Bearer {local.key}"}
    async with receiving() as receiver, httpx.AsyncClient(headers=headers, timeout=WAIT_S) as http:
        await http.post(f"{local.ingest}/api/v2/segments", json={"id": "hook-pro", "where": "plan is Gold"})
        wanted = {"url": receiver.url, "segments": ["hook-pro"]}
        made = await http.post(url, json=wanted, headers={"Idempotency-Key": "hook-1"})
        again = await http.post(url, json=wanted, headers={"Idempotency-Key": "hook-1"})
        for answer in (made, again, await http.get(url), await http.post(url, json={"url": "ftp://x"})):
            described.hold(answer)
        assert (made.status_code, again.json()) == (201, made.json())
        assert {"RateLimit", "X-Request-Id"} <= {
            name.title().replace("Ratelimit", "RateLimit") for name in made.headers
        }
        contacts = [f"hook-{number}" for number in range(20)]
        for plan in ("gold", "lead"):
            await http.post(
                f"{local.ingest}/api/v2/contacts",
                json={"contacts": [{"id": contact, "attributes": {"plan": plan}} for contact in contacts]},
            )
        await receiver.until_told({contact: ["enter hook-pro", "exit hook-pro"] for contact in contacts})
        assert all(request.is_signed_with(made.json()["secret"]) for request in receiver.requests)
        assert (await http.delete(f"{url}/{made.json()['id']}")).status_code == 204
