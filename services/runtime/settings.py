"""What every service reads from its environment, validated once at start.

Rule: a setting is named, typed, bounded and documented here (or in a service's subclass), and its value is fixed for
the life of the process. An unusable value refuses the start: the message names the variable, what was found and what is
expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import PARTITIONS_MAX
from services.runtime.addresses import Brokers, CollectorUrl
from services.runtime.errors import StartRefusedError
from services.runtime.keys import KEY_FILE_NAME
from services.runtime.logs import LogFormat

ENV_PREFIX = "TIDEGATE_"
ADMIN_PORT = "The port of /metrics, /live and /ready; 0 takes any free one."
"""What it is for; each service has a default of its own."""
TOPIC_PREFIX = r"[A-Za-z0-9._-]{0,100}"
"""What a workspace's prefix may be: what a topic's name may have, and short enough to leave room for it."""
TICK_INTERVAL_MIN_MS = 100
TICK_INTERVAL_MAX_MS = 60_000


class RuntimeSettings(BaseSettings):
    """The settings that all services share. Each is `TIDEGATE_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", frozen=True, populate_by_name=True)

    kafka_bootstrap: Brokers = Field(
        "127.0.0.1:9092", description="Kafka bootstrap servers, host:port, comma separated."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether brokers are reached over TLS (SSL), and with a password (SASL)."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the password is proved."
    )
    kafka_sasl_username: str | None = Field(None, description="The service's user at the brokers; needed with SASL.")
    kafka_sasl_password: SecretStr | None = Field(None, description="That user's password; it is never shown.")
    kafka_ssl_ca_file: Path | None = Field(None, description="PEM bundle that signs the brokers' certificates.")

    topic_prefix: str = Field("", pattern=f"^{TOPIC_PREFIX}$", description="Put before every topic name.")
    partitions: int = Field(8, ge=1, le=PARTITIONS_MAX, description="Partitions of every partitioned topic.")
    replication_factor: int = Field(1, ge=1, le=32, description="Replicas of the topics that the local stack creates.")
    replay_history: bool = Field(
        False, description="The input log carries its producers' timestamps (CreateTime) and is kept for ever."
    )
    tick_interval_ms: int = Field(
        1000,
        ge=TICK_INTERVAL_MIN_MS,
        le=TICK_INTERVAL_MAX_MS,
        description="How often the scheduler appends a tick to every partition.",
    )

    otlp_endpoint: CollectorUrl | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="An OpenTelemetry collector (HTTP). Without it nothing is traced.",
    )

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("tidegate"),
        description="Where the process keeps state that must survive a restart.",
    )
    admin_host: str = Field("127.0.0.1", description="Where /metrics, /live and /ready listen.")
    admin_port: int = Field(9090, ge=0, le=65_535, description=ADMIN_PORT)
    stop_grace_ms: int = Field(15_000, ge=0, le=600_000, description="How long a stop may take before work is cut off.")
    log_format: LogFormat = Field("auto", description="`auto` is `console` on a terminal and `json` elsewhere.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least that is logged.")


class PublicSettings(RuntimeSettings):
    """What the services share that answer requests with an API key."""

    host: str = Field("127.0.0.1", description="Where the service listens. Beyond loopback only by this setting.")
    key_file: Path | None = Field(None, description="The API keys' hashes; by default keys.json in the data directory.")

    @property
    def keys_path(self) -> Path:
        """The key file."""
        return self.key_file or self.data_dir / KEY_FILE_NAME


Settings = TypeVar("Settings", bound=RuntimeSettings)


def load_settings(kind: type[Settings], **decided: object) -> Settings:
    """Read the settings from the environment, but for those that are `decided`, by their names here.

    Errors: raises `StartRefusedError` that names each variable, what was found and what is expected.
    """
    try:
        return kind.model_validate(decided)
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(kind, problem['loc'])}: {problem['msg']} (found {_shown(problem['loc'], problem['input'])})"
            for problem in error.errors(include_url=False)
        )
        raise StartRefusedError(f"the settings cannot be used: {problems}") from error


def _variable(kind: type[RuntimeSettings], location: tuple[int | str, ...]) -> str:
    """The name in the environment of what is wrong; a variable that is not ours has its own."""
    name = "_".join(map(str, location))
    not_ours = {field.validation_alias for field in kind.model_fields.values()}
    return name if name in not_ours else ENV_PREFIX + name.upper()


def _shown(location: tuple[int | str, ...], value: object) -> str:
    """Return a value as it may be shown: secrets are not, nor an address that may hold one."""
    secret = "@" in str(value) or any("password" in str(step) or "secret" in str(step) for step in location)
    return "a hidden value" if secret else repr(value)
