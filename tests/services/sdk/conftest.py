"""A workspace with its topics, and a writer of membership changes in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.services.sdk.stream import PARTITIONS, Stream, open_stream


@dataclass(frozen=True)
class Workspace:
    bootstrap: str
    prefix: str


@pytest.fixture
async def workspace(broker: str, topic_prefix: str) -> Workspace:
    await ensure_topics(RuntimeSettings(kafka_bootstrap=broker, topic_prefix=topic_prefix, partitions=PARTITIONS))
    return Workspace(broker, topic_prefix)


@pytest.fixture
async def stream(workspace: Workspace) -> AsyncIterator[Stream]:
    async with open_stream(workspace.bootstrap, workspace.prefix) as made:
        yield made
