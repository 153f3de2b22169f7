"""Uploads of contacts with a plan, as imports find them."""

from __future__ import annotations

from segmentation.model import InstantMs
from services.ingest.imports.dialect import Dialect
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.records import ImportRecord, ImportState

COMMA = Dialect(encoding="utf-8", encoding_sure=True, delimiter=",", line_end="\n", header=True)


def uploaded(files: ImportFiles, rows: int, state: ImportState) -> ImportRecord:
    """So many good rows, then one without an id; the import stands in `state`."""
    content = b"id,plan\n" + b"".join(b"c%d,pro\n" % row for row in range(rows)) + b",pro\n"
    record = ImportRecord(
        id="imp_0000000001", name="a.csv", state=state, created_at=InstantMs(0), sha256="",
        bytes_sent=len(content), bytes_total=len(content), names=["id", "plan"], columns=[], dialect=COMMA,
    )  # fmt: skip
    with files.new_upload(record.id) as file:
        file.write(content)
    return record
