"""What the console reads from its environment, beyond what every service does."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.runtime.keys import KEY_FILE_NAME
from services.runtime.settings import RuntimeSettings


class ConsoleSettings(RuntimeSettings):
    """The settings of the console. Each is `TIDEGATE_` and its name in capitals."""

    host: str = Field("127.0.0.1", description="Where the console listens. Beyond loopback only by this setting.")
    console_port: int = Field(8081, ge=0, le=65_535)
    admin_port: int = Field(9093, ge=0, le=65_535)
    ingest_url: str = Field("http://127.0.0.1:8080", description="Where writes are forwarded to.")
    webhooks_url: str | None = Field(None, description="Where the webhooks service is, if there is one.")
    key_file: Path | None = Field(None, description="The API keys' hashes; by default keys.json in the data directory.")

    @property
    def keys_path(self) -> Path:
        """The key file."""
        return self.key_file or self.data_dir / KEY_FILE_NAME
