"""An evaluator that kills itself at one named point of the write protocol or of recovery: `python -m …`.

Rule: production code knows nothing of it; the ports' real implementations are wrapped here, and death is `_exit`, so no
handler of ours or of Python's runs. The point and the number of passes come from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from schemas.topics import Topic
from services.evaluator.kafka_log import KafkaTransactionalLog
from services.evaluator.owner import Owned, PartitionOwner
from services.evaluator.ports import OutputRecord
from services.evaluator.restored import RestoredPartition
from services.evaluator.service import main
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.store import RocksStore
from services.runtime.application import run_service

POINT_VARIABLE = "CRASH_POINT"
PASSES_VARIABLE = "CRASH_AFTER_PASSES"
CRASHED = 99
POINTS = (
    "before the changes are sent",
    "after the changes are sent",
    "after the contacts are sent",
    "after the acknowledgements",
    "before the commit",
    "after the commit, before the local write",
    "after the local write",
)
RECOVERING = "while recovery fills the store"


class Crash:
    """Counts passes of the chosen point and ends the process at the last one."""

    def __init__(self, point: str, passes: int) -> None:
        self._point = point
        self._left = passes

    def at(self, point: str) -> None:
        """Die here if it is time."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os._exit(CRASHED)


def wrap(kind: type, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    original = getattr(kind, name)

    @wraps(original)
    async def wrapped(self: Any, *args: Any, **named: Any) -> Any:
        if before is not None:
            before(*args)
        answer = await original(self, *args, **named)
        if after is not None:
            after(*args)
        return answer

    setattr(kind, name, wrapped)


def install(crash: Crash) -> None:
    def before_append(topic: Topic, _records: Sequence[OutputRecord]) -> None:
        if topic is Topic.MEMBERSHIPS:
            crash.at(POINTS[0])

    def after_append(topic: Topic, _records: Sequence[OutputRecord]) -> None:
        if topic is Topic.MEMBERSHIPS:
            crash.at(POINTS[1])
        if topic is Topic.CONTACTS_CHANGELOG:
            crash.at(POINTS[2])

    wrap(KafkaTransactionalLog, "append", before_append, after_append)
    wrap(KafkaTransactionalLog, "acknowledged", None, lambda: crash.at(POINTS[3]))
    wrap(KafkaTransactionalLog, "commit", lambda _offset: crash.at(POINTS[4]), lambda _offset: crash.at(POINTS[5]))
    write = RocksStore.write

    def fill_and_crash(self: RocksStore, rows: Mapping[bytes, bytes | None]) -> None:
        write(self, rows)
        crash.at(RECOVERING)

    def write_and_crash(self: RocksStore, rows: Mapping[bytes, bytes | None]) -> None:
        write(self, rows)
        crash.at(POINTS[6])

    start = PartitionOwner._start

    def started(self: PartitionOwner, owned: Owned, restored: RestoredPartition, group_offset: int | None) -> None:
        start(self, owned, restored, group_offset)
        # Only now: recovery has written its rows, and what follows is the work.
        replace(RocksStore, "write", write_and_crash)

    replace(RocksStore, "write", fill_and_crash)
    replace(PartitionOwner, "_start", started)


def replace(kind: type, name: str, replacement: Callable[..., Any]) -> None:
    setattr(kind, name, replacement)


if __name__ == "__main__":
    install(Crash(os.environ[POINT_VARIABLE], int(os.environ[PASSES_VARIABLE])))
    run_service("evaluator", EvaluatorSettings, main)
