"""A key has its share of requests a second, and is told when to come again."""

from __future__ import annotations

import pytest

from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile, Scope
from services.runtime.topics import ensure_topics
from tests.services.ingest.conftest import client_of

pytestmark = pytest.mark.broker


async def test_a_key_that_asks_too_often_is_told_to_wait_and_another_is_not(ingest_settings: IngestSettings) -> None:
    await ensure_topics(ingest_settings)
    keys = KeyFile(ingest_settings.keys_path)
    busy, calm = (keys.create(name, frozenset(Scope)).token for name in ("busy", "calm"))
    settings = ingest_settings.model_copy(update={"rate_limit_per_s": 3})
    async with Ingest.running(settings) as ingest, client_of(ingest.app, busy) as http:
        answers = [await http.get("/api/v2/keys") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert len(refused) >= 10
        assert all(answer.headers["Retry-After"] == "1" for answer in refused)
        assert refused[0].json()["code"] == "rate_limited"
        async with client_of(ingest.app, calm) as other:
            assert (await other.get("/api/v2/keys")).status_code == 200
