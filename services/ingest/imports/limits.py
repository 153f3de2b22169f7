"""The limits of a CSV import: what one file, row or cell may hold, and how much of it is in hand at once.

Rule: memory is bounded by these numbers, never by the file. Beyond one of them the file or the row is refused, and the
refusal says which limit it was.
"""

from __future__ import annotations

from typing import Final

UPLOAD_BYTES_MAX: Final = 1024 * 1024 * 1024
"""A file as sent, and as unpacked."""
UPLOADS_MIB_MAX: Final = 20 * 1024
"""Of all files that are kept together, where the settings say nothing else."""
ROOM_LOOKED_FOR_EVERY_BYTES: Final = 64 * 1024 * 1024
"""Of a file that arrives. So much beyond the limit may be kept of each that arrives at the same moment."""
GZIP_RATIO_MAX: Final = 20
"""Unpacked bytes for each packed one, once the unpacked file is larger than `GZIP_FREE_BYTES`."""
GZIP_FREE_BYTES: Final = 1024 * 1024
PIECE_BYTES: Final = 256 * 1024
"""How much of a file is read, unpacked or written at a time."""
UPLOADS_ARRIVING_MAX: Final = 20
"""At one process at the same time: each holds some three MiB until it is kept."""
UPLOAD_STALL_MAX_S: Final = 30
"""An upload that is waited for this long before the next `UPLOAD_STALL_BYTES` have come is given up."""
UPLOAD_STALL_BYTES: Final = 16 * 1024
"""Who sends slower than this would hold a place among those that arrive for days."""
SAMPLE_BYTES: Final = 1024 * 1024
"""How much of the beginning is looked at to detect format, types and preview."""
SAMPLE_ROWS_MAX: Final = 1_000
PREVIEW_ROWS: Final = 20
COLUMNS_MAX: Final = 1_000
FIELD_BYTES_MAX: Final = 64 * 1024
ROW_BYTES_MAX: Final = 4 * 1024 * 1024
"""A row as written, also when quotes spread it over many lines."""

CHECKPOINT_ROWS: Final = 5_000
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
"""A checkpoint is due after so many rows, or so many bytes of records, whichever comes first."""
SLICE_ROWS: Final = 250
"""Rows read and converted in one go, off the event loop."""
DRY_RUN_ROWS: Final = 2_000
"""Rows whose contacts a dry run asks for at once."""
RUNNING_MAX: Final = 2
"""Imports that one process works on at a time; further ones wait."""
IMPORTS_LISTED_MAX: Final = 200
ERROR_GROUPS_MAX: Final = 200
ERROR_SAMPLE_ROWS: Final = 5
SHOWN_CHARACTERS_MAX: Final = 200
"""How much of a cell a report repeats."""
HEADER_CHARACTERS_MAX: Final = 256
FILE_NAME_CHARACTERS_MAX: Final = 255

KEPT_MS: Final = 30 * 24 * 3_600_000
"""How long an import that has ended is kept, its report of rejected rows with it."""
ABANDONED_MS: Final = 7 * 24 * 3_600_000
"""How long an upload waits for a decision."""
UNFINISHED_MS: Final = 3_600_000
"""How long after its last write an upload of which nothing else is known is taken for cut off, and removed."""
