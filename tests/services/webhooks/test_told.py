"""Who made, deleted or replayed something is in the log of webhooks, and no secret is."""

from __future__ import annotations

import pytest
from structlog.testing import CapturingLogger

from services.runtime.keys import KeyFile
from services.webhooks import api
from services.webhooks.settings import WebhookSettings
from tests.services.sdk.stream import Step, Stream
from tests.services.webhooks.conftest import service
from tests.services.webhooks.receiver import Receiver
from tests.services.webhooks.test_webhooks import first_failures, make

pytestmark = pytest.mark.broker


async def test_whoever_makes_replays_and_deletes_is_told_without_the_secret_or_the_path(
    settings: WebhookSettings, stream: Stream, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(api, "log", log)
    receiver.plan["u"] = [410]
    async with service(settings) as http:
        webhook = await make(http, f"{receiver.url}hidden", ["a"])
        await stream.commit(Step("u", 1, ("a",)))
        (failure,) = await first_failures(http, webhook["id"])
        path = f"/webhooks/{webhook['id']}"
        for number in range(2):
            replay = await http.post(f"{path}/failures/{failure['id']}/replay", headers={"X-Request-Id": f"r-{number}"})
            assert replay.status_code == 200, replay.text
        assert (await http.delete(path, headers={"X-Request-Id": "d"})).status_code == 204
    (key,) = KeyFile(settings.keys_path).keys()
    told = [(call.args[0], call.kwargs) for call in log.calls]
    made = {"webhook": webhook["id"], "key": key.id, "request_id": told[0][1]["request_id"]}
    assert told == [
        ("webhook made", {**made, "to": "127.0.0.1", "segments": ["a"]}),
        ("webhook failure replayed", {**made, "failure": failure["id"], "request_id": "r-0"}),
        ("webhook deleted", {**made, "request_id": "d"}),
    ]
    assert webhook["secret"] not in str(log.calls)
    assert "hidden" not in str(log.calls)
