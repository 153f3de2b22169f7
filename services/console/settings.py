"""What the console reads from its environment, beyond what every service does."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import PublicSettings


class ConsoleSettings(PublicSettings):
    """The settings of the console. Each is `TIDEGATE_` and its name in capitals."""

    console_port: int = Field(8081, ge=0, le=65_535)
    admin_port: int = Field(9093, ge=0, le=65_535)
    ingest_url: str = Field("http://127.0.0.1:8080", description="Where writes are forwarded to.")
    webhooks_url: str | None = Field(None, description="Where the webhooks service is, if there is one.")
