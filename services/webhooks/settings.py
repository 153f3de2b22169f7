"""What the webhooks service reads from its environment, beyond what every service does."""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import ADMIN_PORT, PublicSettings


class WebhookSettings(PublicSettings):
    """The settings of webhooks. Each is `TIDEGATE_` and its name in capitals."""

    webhooks_port: int = Field(8083, ge=0, le=65_535, description="The port of webhooks' routes; 0 takes any free one.")
    admin_port: int = Field(9094, ge=0, le=65_535, description=ADMIN_PORT)
    webhooks_allow_local: bool = Field(
        False, description="Also send to http: and to private and loopback addresses. For development only."
    )
    webhook_timeout_ms: int = Field(10_000, ge=100, le=60_000, description="How long one attempt may take, in all.")
    webhook_attempts_max: int = Field(6, ge=1, le=20, description="Attempts before a delivery is given up.")
    webhook_wait_first_ms: int = Field(1_000, ge=10, le=60_000, description="Bound of the first wait; it doubles.")
    webhook_wait_max_ms: int = Field(30_000, ge=10, le=300_000, description="Bound of every wait between attempts.")
    webhooks_rate_limit_per_s: int = Field(
        100, ge=1, description="Requests a second that one key may make to one process."
    )
    webhooks_append_timeout_ms: int = Field(
        4_000, ge=100, le=60_000, description="How long a write waits for the broker."
    )
