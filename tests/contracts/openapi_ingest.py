"""The OpenAPI document of ingest, made from its routes without a broker.

Rule: what stands in for the rest of the service is never called here; a test holds the document to a running ingest, so
that no route is forgotten.
"""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from fastapi import FastAPI

from services.ingest import app as ingest
from services.ingest import contact_docs, segment_docs
from services.ingest.attributes import AttributeRoutes
from services.ingest.audit_routes import AuditRoutes
from services.ingest.contacts import ContactRoutes
from services.ingest.guard import Guard
from services.ingest.imports import docs as import_docs
from services.ingest.imports.routes import ImportRoutes
from services.ingest.key_routes import KeyRoutes
from services.ingest.merge_routes import MergeRoutes
from services.ingest.replay_routes import ReplayRoutes
from services.ingest.segments import SegmentRoutes
from services.runtime.keys import KeyFile

ROUTES = (MergeRoutes, SegmentRoutes, AttributeRoutes, ImportRoutes, KeyRoutes, AuditRoutes, ReplayRoutes)
SCHEMAS = (segment_docs.SCHEMAS, import_docs.SCHEMAS)


def ingest_document() -> dict[str, Any]:
    """Every way to write."""
    with tempfile.TemporaryDirectory() as directory:
        guard = Guard(KeyFile(Path(directory) / "keys.json"), MagicMock())
        given = {
            "guard": guard,
            "contacts": ContactRoutes(MagicMock(), MagicMock(), guard),
            "routers": [_alone(kind, guard).router() for kind in ROUTES],
            "schemas": SCHEMAS,
        }
        app: Any = _made(ingest.build_app, given)
    while not isinstance(app, FastAPI):
        app = app._app
    return ingest.describe(app, dict(pair for part in (contact_docs.SCHEMAS, *SCHEMAS) for pair in part.items()))


def _alone(kind: Any, guard: Guard) -> Any:
    """A part's routes, with nothing behind them but the guard."""
    return _made(kind, {"guard": guard})


def _made(make: Any, given: dict[str, Any]) -> Any:
    """What `make` makes of what is given, with stand-ins for the rest."""
    return make(*(given.get(name, MagicMock()) for name in inspect.signature(make).parameters))
