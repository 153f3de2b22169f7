"""What the log says of a record that cannot be read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from schemas.webhook import WebhookRecord
from services.runtime.following import pass_by


def test_a_record_that_cannot_be_read_is_named_with_its_faults_and_nothing_of_what_it_holds_is_logged() -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookRecord.decode(b'{"id": "wh_1", "secret": "whsec_canary", "segments": ["canary!"]}')
    with capture_logs() as logged:
        pass_by(SimpleNamespace(topic="webhooks", partition=0, offset=7), refused.value)
    (line,) = logged
    assert (line["topic"], line["partition"], line["offset"]) == ("webhooks", 0, 7)
    assert "/url: missing" in line["reason"]
    assert "canary" not in str(logged)
