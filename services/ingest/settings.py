"""What ingest reads from its environment, beyond what every service does.

Rule: a setting is bounded here; nothing else in ingest reads the environment.
"""

from __future__ import annotations

from pydantic import Field

from services.ingest.imports.limits import UPLOADS_MIB_MAX
from services.runtime.settings import ADMIN_PORT, PublicSettings


class IngestSettings(PublicSettings):
    """The settings of ingest. Each is `TIDEGATE_` and its name in capitals."""

    ingest_port: int = Field(8080, ge=0, le=65_535, description="The port of writes; 0 takes any free one.")
    admin_port: int = Field(9090, ge=0, le=65_535, description=ADMIN_PORT)
    imports_url: str | None = Field(
        None,
        description="Where uploads are kept: a folder or any fsspec URL; by default imports in the data directory.",
    )
    uploads_mib: int = Field(
        UPLOADS_MIB_MAX,
        ge=1_024,
        description="What files that wait for their import, or are being written, may take together.",
    )
    append_timeout_ms: int = Field(
        3_000, ge=100, le=60_000, description="How long after its arrival a write is answered 503 if it is stuck."
    )
    rate_limit_per_s: int = Field(5_000, ge=1, description="Requests a second that one key may make to one process.")
