"""A running ingest on a test's workspace, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from tests.faults.workspace import Workspace
from tests.services.ingest.conftest import client_of


@asynccontextmanager
async def ingest(workspace: Workspace, data: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Ingest, and a client that may do everything."""
    settings = IngestSettings(
        kafka_bootstrap=workspace.broker,
        topic_prefix=workspace.prefix,
        partitions=workspace.partitions,
        data_dir=data,
    )
    token = KeyFile(settings.keys_path).create("all", frozenset(Scope)).token
    async with Ingest.running(settings) as running, client_of(running.app, token) as http:
        yield http
