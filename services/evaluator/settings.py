"""What the evaluator reads from its environment, beyond what every service does."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from schemas.groups import EVALUATOR_GROUP, group_name
from services.evaluator.column_memory import COLUMNS_BYTES_MAX
from services.evaluator.pace import COMMIT_AFTER_MS, COMMIT_GAP_MS, Pace
from services.evaluator.store import MEMORY_BYTES
from services.runtime.addresses import ServiceUrl
from services.runtime.settings import ADMIN_PORT, RuntimeSettings


class EvaluatorSettings(RuntimeSettings):
    """The evaluator's settings. Each is `TIDEGATE_` and its name in capitals."""

    admin_port: int = Field(9091, ge=0, le=65_535, description=ADMIN_PORT)
    read_api_host: str = Field("127.0.0.1", description="Where the internal read API listens.")
    read_api_port: int = Field(8082, ge=0, le=65_535, description="The read API's port; 0 takes any free one.")
    read_address: ServiceUrl | None = Field(
        None, description="URL at which other services reach the read API; by default host and port as they listen."
    )
    static_member: str | None = Field(
        None,
        description="A name that survives restarts (a stateful set's pod name): a quick restart then needs no "
        "rebalance, but a clean stop hands over only after the session time-out.",
    )
    session_timeout_ms: int = Field(
        10_000,
        ge=1_000,
        le=300_000,
        description="After it a silent member is replaced. A broker takes none below its own least, 6,000 unless it "
        "says otherwise.",
    )
    commit_after_ms: int = Field(
        COMMIT_AFTER_MS, ge=1, le=10_000, description="How long a transaction is open at most; longer behind a backlog."
    )
    commit_gap_ms: int = Field(
        COMMIT_GAP_MS,
        ge=0,
        le=10_000,
        description="The least time between two commits of a partition without load; it grows to three times what a "
        "commit takes, and more if many partitions commit. Higher spares the broker, lower is sooner for readers of "
        "committed records.",
    )

    store_memory_mib: int = Field(
        MEMORY_BYTES >> 20,
        ge=16,
        le=65_536,
        description="What the stores of all partitions may hold: blocks of their files, and rows not yet in files, "
        "which may be half of it. More spares reads of the disk where contacts are many.",
    )
    preview_memory_mib: int = Field(
        COLUMNS_BYTES_MAX >> 20,
        ge=0,
        le=65_536,
        description="What columns for previews may hold, about 330 bytes a contact of six attributes. They are read in "
        "spare time where all fit; with 0 every preview reads every contact.",
    )

    @property
    def group(self) -> str:
        """The consumer group, one a workspace."""
        return group_name(self.topic_prefix, EVALUATOR_GROUP)

    @property
    def state_dir(self) -> Path:
        """Where the partitions' stores are. Each evaluator needs a directory of its own."""
        return self.data_dir / "evaluator"

    @property
    def checkpoint_dir(self) -> Path:
        """Where the one checkpoint of the stores is kept, for a backup to copy."""
        return self.data_dir / "checkpoint"

    @property
    def pace(self) -> Pace:
        """The workers' pace."""
        return Pace(commit_after_ms=self.commit_after_ms, commit_gap_ms=self.commit_gap_ms)
