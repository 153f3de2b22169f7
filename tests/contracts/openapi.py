"""The OpenAPI documents of the console and of webhooks, made from their routes without a broker.

Rule: what stands in for the rest of a service is never called here; the services' own tests hold the answers that they
see to these documents.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from services.console import app as console
from services.console import openapi as console_openapi
from services.console.settings import ConsoleSettings
from services.runtime.keys import KeyFile
from services.webhooks import api as webhooks
from services.webhooks import documents as webhooks_documents
from services.webhooks.guard import Guard


def console_document() -> dict[str, Any]:
    """What the console itself serves."""
    with tempfile.TemporaryDirectory() as directory:
        settings = ConsoleSettings(data_dir=Path(directory))
        absent = (MagicMock() for _ in range(6))
        return console_openapi.describe(console.build_app(settings, KeyFile(settings.keys_path), *absent))


def webhooks_document() -> dict[str, Any]:
    """The API of webhooks."""
    guard = Guard(MagicMock(), MagicMock())
    return webhooks_documents.describe(
        webhooks.build_app(webhooks.WebhookRoutes(MagicMock(), MagicMock(), MagicMock(), guard, MagicMock()))
    )
