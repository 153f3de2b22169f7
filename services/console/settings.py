"""What the console reads from its environment, beyond what every service does."""

from __future__ import annotations

from pydantic import Field

from services.runtime.addresses import ServiceUrl
from services.runtime.settings import ADMIN_PORT, PublicSettings


class ConsoleSettings(PublicSettings):
    """The settings of the console. Each is `TIDEGATE_` and its name in capitals."""

    console_port: int = Field(
        8081, ge=0, le=65_535, description="The port of reads, events and the dashboard; 0 takes any free one."
    )
    admin_port: int = Field(9093, ge=0, le=65_535, description=ADMIN_PORT)
    ingest_url: ServiceUrl = Field("http://127.0.0.1:8080", description="Where writes are forwarded to.")
    webhooks_url: ServiceUrl | None = Field(
        None, description="Where webhooks' routes are forwarded to, if the service runs."
    )
