"""What an operator asks of a running evaluator's disk: a checkpoint of every partition, and that erased bytes leave it.

Rule: a store is written by one batch after each commit, so whatever instant a checkpoint is taken at, it is a committed
prefix of the partition's log. The work is done in threads, beside evaluation. One checkpoint is kept, replaced whole.
The store of a partition that was given up hears of no erasure any more, and is deleted; the changelogs make it again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.evaluator.ports import StoreError
from services.evaluator.reads import ServedPartition
from services.evaluator.recovery import read_marks
from services.evaluator.rows import FORMAT
from services.evaluator.serving import Serving
from services.evaluator.store import RocksStore, remove_store
from services.runtime import clock
from services.runtime.logs import get_logger

MANIFEST_FILE = "manifest.json"

log = get_logger("upkeep")


class Place(NamedTuple):
    """Which workspace's state this is, where it is and its checkpoint goes: on one disk, so that files are linked."""

    prefix: str
    partitions: int
    state_dir: Path
    checkpoint_dir: Path

    def stores(self) -> Iterator[tuple[int, Path]]:
        """The stores that stand there, by partition."""
        paths = ((index, self.state_dir / str(index)) for index in range(self.partitions))
        return ((index, path) for index, path in paths if path.is_dir())


class Upkeep:
    """The routes, and that at most one of them works at a time."""

    def __init__(self, serving: Serving, place: Place) -> None:
        self._serving = serving
        self._place = place
        self._working = asyncio.Lock()

    def routes(self, base: str) -> Sequence[Route]:
        """To be mounted on the internal interface."""
        return (
            Route(f"{base}/checkpoint", self.checkpoint, methods=["POST"]),
            Route(f"{base}/compact", self.compact, methods=["POST"]),
        )

    async def checkpoint(self, request: Request) -> Response:
        """Answer: `{"directory": …, "manifest": …}` once every partition of this process is copied."""
        del request
        async with self._working:
            began = clock.monotonic()
            target = self._place.checkpoint_dir
            unfinished = target.with_name(f"{target.name}.new")
            manifest: dict[str, Any] = {
                "prefix": self._place.prefix,
                "partition_count": self._place.partitions,
                "format": FORMAT,
                "taken_at": clock.now_ms(),
                "partitions": {},
            }
            try:
                await asyncio.to_thread(_begin, unfinished)
                for index, served in sorted(self._serving.served.items()):
                    marks = await asyncio.to_thread(_copy, served, unfinished / str(index))
                    manifest["partitions"][str(index)] = marks
                await asyncio.to_thread(_finish, unfinished, target, manifest)
            except (OSError, StoreError) as error:
                return _failed("checkpoint_failed", error)
            log.info("checkpoint taken", directory=str(target), took_ms=round((clock.monotonic() - began) * 1_000))
            return JSONResponse({"directory": str(target), "manifest": manifest})

    async def compact(self, request: Request) -> Response:
        """Answer: `{"partitions": […], "removed": […]}` once no file here holds what was deleted before the request.

        Those are the partitions of this process, and those whose stores stood here though they are another's by now.
        """
        del request
        async with self._working:
            done = []
            try:
                await asyncio.to_thread(shutil.rmtree, self._place.checkpoint_dir, ignore_errors=True)
                removed = self._remove_given_up()
                for index, served in sorted(self._serving.served.items()):
                    await asyncio.to_thread(_rocks(served).compact)
                    done.append(index)
            except StoreError as error:
                return _failed("compaction_failed", error)
            log.info("local state compacted", partitions=done, removed=removed)
            return JSONResponse({"partitions": done, "removed": removed})

    def _remove_given_up(self) -> list[int]:
        """Delete the stores of partitions that are not ours. On the loop, so that none is assigned in between."""
        serving = self._serving
        others = [(index, path) for index, path in self._place.stores() if not serving.has(index)]
        return [index for index, path in others if remove_store(path)]


def _rocks(served: ServedPartition) -> RocksStore:
    if not isinstance(served.store, RocksStore):
        raise AssertionError(f"partition {served.partition.index} is not on RocksDB")
    return served.store


def _begin(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _copy(served: ServedPartition, directory: Path) -> dict[str, Any]:
    """Copy one store; what its marks said just before. The copy is at them or later."""
    marks = read_marks(served.store)
    served.store.checkpoint(directory)
    return {"input": marks.input, "contacts": marks.contacts, "written": marks.written}


def _finish(unfinished: Path, target: Path, manifest: dict[str, Any]) -> None:
    (unfinished / MANIFEST_FILE).write_bytes(orjson.dumps(manifest))
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def _failed(code: str, error: Exception) -> Response:
    log.error("upkeep failed", code=code, reason=str(error))
    return JSONResponse({"code": code, "message": str(error)}, 503)
