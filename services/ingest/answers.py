"""Good answers: JSON by orjson, instants as RFC 3339.

Rule: shapes are the routes' business; this is only how they are written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from fastapi.responses import Response

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(body), status, dict(headers or {}), "application/json")


def instant_text(instant_ms: int) -> str:
    """Epoch milliseconds as RFC 3339 in UTC."""
    written = (_EPOCH + timedelta(milliseconds=instant_ms)).isoformat(timespec="milliseconds")
    return written.replace("+00:00", "Z")
