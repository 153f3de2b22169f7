"""The workspace and the writer of membership changes that the SDK's tests have, a receiver, and the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from services.runtime.keys import KeyFile, Scope
from services.webhooks.service import running
from services.webhooks.settings import WebhookSettings
from tests.contracts.answers import Described
from tests.contracts.openapi import webhooks_document
from tests.services.sdk.conftest import Workspace, stream, workspace
from tests.services.sdk.stream import PARTITIONS
from tests.services.webhooks.receiver import Receiver, receiving

__all__ = ["stream", "workspace"]

DESCRIBED = Described(webhooks_document())


@pytest.fixture
def settings(workspace: Workspace, tmp_path: Path) -> WebhookSettings:
    return WebhookSettings(
        kafka_bootstrap=workspace.bootstrap,
        topic_prefix=workspace.prefix,
        partitions=PARTITIONS,
        data_dir=tmp_path,
        webhooks_allow_local=True,
        webhook_timeout_ms=5_000,  # a receiver on a busy machine answers later than one would think
        webhook_attempts_max=4,
        webhook_wait_first_ms=20,
        webhook_wait_max_ms=100,
        webhooks_append_timeout_ms=60_000,  # and so does its broker
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def _described(answer: httpx.Response) -> None:
    """Every answer that a test sees is one that the API's document describes."""
    await answer.aread()
    DESCRIBED.hold(answer)


@asynccontextmanager
async def service(settings: WebhookSettings, *scopes: Scope) -> AsyncIterator[httpx.AsyncClient]:
    """The service at work, and a client of its API whose key has these scopes (`admin` if none is named)."""
    token = KeyFile(settings.keys_path).create("test", frozenset(scopes or (Scope.ADMIN,))).token
    async with running(settings, asyncio.Event()) as (app, working):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://webhooks/api/v2",
            headers={"Authorization": f"Bearer {token}"},
            event_hooks={"response": [_described]},
        ) as client:
            yield client
        assert not working.done(), "the deliveries ended by themselves"
