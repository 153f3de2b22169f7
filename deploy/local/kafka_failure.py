"""Why the broker did not start, in one line, read from what it printed.

Rule: the line says what is wrong, where, and what to do; the whole log stays in its file for who wants it.
"""

from __future__ import annotations

from pathlib import Path

TAIL_BYTES = 64 * 1024

_KNOWN = (
    (
        "Address already in use",
        "a port is in use; stop what listens there, or choose others with --port-base",
    ),
    ("No space left on device", "the disk is full; free some space in {directory} or choose another --data-dir"),
    ("Permission denied", "its files cannot be written; check who owns {directory}"),
    ("Failed to acquire lock on file", "another broker runs on {directory}; stop it first"),
    ("OutOfMemoryError", "it ran out of memory; free some and start again"),
    ("CorruptRecordException", "its data is damaged; move {directory} away to start anew"),
    ("UnsupportedClassVersionError", "its Java is too old; set JAVA_HOME to Java 17 or newer"),
)
_TROUBLE = ("ERROR", "Exception", "Error:", "error:")


def explain_failure(log_file: Path, directory: Path) -> str:
    """Return one line about the failure that the log shows."""
    tail = _tail(log_file)
    for symptom, meaning in _KNOWN:
        if symptom in tail:
            return f"Kafka did not start: {meaning.format(directory=directory)} (log: {log_file})."
    troubles = [line.strip() for line in tail.splitlines() if any(word in line for word in _TROUBLE)]
    reason = troubles[0] if troubles else "it printed no reason"
    return f"Kafka did not start: {reason} (log: {log_file})."


def _tail(log_file: Path) -> str:
    if not log_file.exists():
        return ""
    with log_file.open("rb") as log:
        log.seek(max(0, log_file.stat().st_size - TAIL_BYTES))
        return log.read().decode("utf-8", errors="replace")
