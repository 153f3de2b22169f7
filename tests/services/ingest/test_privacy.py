"""No attribute value, body or token is ever logged, whatever goes wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from services.ingest.contact_log import ContactLog
from services.runtime.logs import LogFormat, configure_logs
from tests.services.ingest.conftest import Running

pytestmark = pytest.mark.broker
CANARY = "canary-4111-1111"


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a service writes to its log, in either form."""
    log_format: LogFormat = request.param
    stream = io.StringIO()
    configure_logs("ingest", log_format, "DEBUG", stream)
    yield stream
    structlog.reset_defaults()


async def test_a_canary_in_every_kind_of_request_never_reaches_the_log(
    running: Running, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_log: ContactLog, records: Any, _arrived_at: float) -> None:
        raise RuntimeError("a defect of ours")

    http = running.http
    good = {"id": "u", "attributes": {"card": CANARY}}
    assert (await http.post("/api/v2/contacts", json=good)).status_code == 202
    for bad in ({"id": "u", "attributes": {"card": [[CANARY]]}}, {"id": "u", "card": CANARY}, [CANARY]):
        assert (await http.post("/api/v2/contacts", json=bad)).status_code == 422
    assert (await http.post("/api/v2/contacts", content=f'{{"card": "{CANARY}"')).status_code == 400
    with monkeypatch.context() as patched:
        patched.setattr(ContactLog, "append", breaks)
        assert (await http.post("/api/v2/contacts", json=good)).status_code == 500
        assert (await http.patch("/api/v2/contacts/u", json={"attributes": good["attributes"]})).status_code == 500
    made = await http.post("/api/v2/keys", json={"name": "crm", "scopes": ["contacts:write"]})
    await http.post("/api/v2/segments", json={"id": "s", "where": f"card is {CANARY!r}"})
    written = logged.getvalue()
    assert "a defect of ours" in written
    assert "key made" in written
    assert CANARY not in written
    assert made.json()["key"] not in written
    assert http.headers["authorization"].removeprefix("Bearer ") not in written
