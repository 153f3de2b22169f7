"""An import as the API shows it: what it is, how far it is, and what to do next.

Rule: a view, made anew for each answer; nothing is decided here.
"""

from __future__ import annotations

from typing import Any, Final

from services.ingest.answers import instant_text
from services.ingest.imports.records import Checkpoint, ImportRecord, ImportState
from services.ingest.imports.service import Sight

_NEXT: Final = {
    ImportState.UPLOADED: "PUT /imports/{id}/mapping, then POST /imports/{id}/dry-run or /imports/{id}/commit",
    ImportState.CHECKED: "POST /imports/{id}/commit, or PUT /imports/{id}/mapping to change the mapping",
    ImportState.FAILED: "POST /imports/{id}/commit to go on from the last checkpoint",
}


def import_json(sight: Sight) -> dict[str, Any]:
    """One import, whole."""
    record = sight.record
    return {
        **_summary(sight),
        "format": {
            "encoding": record.dialect.encoding,
            "encoding_sure": record.dialect.encoding_sure,
            "delimiter": record.dialect.delimiter,
            "line_end": record.dialect.line_end,
            "header": record.dialect.header,
        },
        "columns": [column.model_dump(mode="json") for column in record.columns],
        "suggested_id_column": record.suggested_id_column,
        "mapping": record.mapping.model_dump(mode="json") if record.mapping is not None else None,
        "mapping_source": record.mapping_source,
        "dry_run": record.dry_run.model_dump(mode="json") if record.dry_run is not None else None,
        "errors": [group.model_dump(mode="json") for group in sight.checkpoint.errors],
    }


def import_summary_json(sight: Sight) -> dict[str, Any]:
    """One import in a list."""
    return _summary(sight)


def _summary(sight: Sight) -> dict[str, Any]:
    record, checkpoint, progress = sight.record, sight.checkpoint, sight.progress
    at_work = progress is not None
    return {
        "id": record.id,
        "name": record.name,
        "state": record.state.value,
        "created_at": instant_text(record.created_at),
        "started_at": _instant(record.started_at),
        "finished_at": _instant(record.finished_at),
        "rows_total": record.rows_total,
        "rows_read": _rows_read(checkpoint),
        "accepted": checkpoint.accepted if record.state is not ImportState.CHECKING else 0,
        "rejected": checkpoint.rejected,
        "blank_rows": checkpoint.blank,
        "bytes_total": record.bytes_total,
        "bytes_read": checkpoint.offset,
        "rate_rows_per_s": round(progress.rows_per_s) if progress is not None and progress.rows_per_s else None,
        "eta_s": progress.eta_s if progress is not None else None,
        "waiting": progress.waiting if progress is not None else None,
        "repeat_of": record.repeat_of,
        "problem": record.problem.model_dump() if record.problem is not None else None,
        "next": None if at_work else _next(record),
    }


def _rows_read(checkpoint: Checkpoint) -> int:
    return checkpoint.accepted + checkpoint.rejected


def _next(record: ImportRecord) -> str | None:
    step = _NEXT.get(record.state)
    return step.replace("{id}", record.id) if step is not None else None


def _instant(at: int | None) -> str | None:
    return instant_text(at) if at is not None else None
