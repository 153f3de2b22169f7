"""What is kept about an import: the record of what it is and decided, and the checkpoint of how far it came.

Rule: both are files beside the upload, replaced whole, so that another process or the next one reads them as they were
last decided. Nothing here is an answer to a request; `resource.py` makes that of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from segmentation.model import InstantMs
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.errors_report import ErrorGroup
from services.ingest.imports.lines import Place
from services.ingest.imports.mapping import ColumnSuggestion, ImportMapping

ID_PATTERN: Final = r"^imp_[0-9a-z]{8,40}$"


class ImportState(StrEnum):
    """How far an import is."""

    UPLOADED = "uploaded"
    """The file is stored and waits for a mapping, a dry run or the commit."""
    CHECKING = "checking"
    """A dry run is reading it."""
    CHECKED = "checked"
    """A dry run has said what would happen."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """It stopped for a reason that does not go away by itself; committing again resumes it."""
    CANCELLED = "cancelled"


FINISHED: Final = frozenset({ImportState.COMPLETED, ImportState.CANCELLED})
AT_WORK: Final = frozenset({ImportState.RUNNING, ImportState.CHECKING})


class ImportProblem(BaseModel):
    """Why an import failed."""

    code: str
    message: str
    fix: str


class DryRun(BaseModel):
    """What a commit would do. The three counts of rows to be written are None where `note` says why.

    It also says that there is no row.
    """

    rows_total: int = 0
    would_create: int | None = None
    would_update: int | None = None
    would_leave: int | None = None
    would_write: int = 0
    would_reject: int = 0
    blank_rows: int = 0
    errors: list[ErrorGroup] = Field(default_factory=list)
    note: str | None = None


class Checkpoint(BaseModel):
    """A place up to which every row is written or reported. `offsets`: per partition, where later records begin."""

    row: int = 0
    line: int = 0
    offset: int = 0
    accepted: int = 0
    rejected: int = 0
    blank: int = 0
    offsets: dict[int, int] = Field(default_factory=dict)
    errors: list[ErrorGroup] = Field(default_factory=list)

    @property
    def place(self) -> Place:
        """Where the next row begins."""
        return Place(self.row, self.line, self.offset)


class ImportRecord(BaseModel):
    """One import, without its progress."""

    model_config = ConfigDict(validate_assignment=True)

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    name: str
    state: ImportState
    created_at: InstantMs
    started_at: InstantMs | None = None
    finished_at: InstantMs | None = None
    sha256: str
    bytes_sent: int
    bytes_total: int
    dialect: Dialect
    names: list[str]
    columns: list[ColumnSuggestion]
    suggested_id_column: str | None = None
    mapping: ImportMapping | None = None
    mapping_source: Literal["given", "remembered"] | None = None
    cancel_requested: bool = False
    repeat_of: str | None = None
    rows_total: int | None = None
    dry_run: DryRun | None = None
    problem: ImportProblem | None = None
