"""`GET /status`: partitions, who serves them and how far behind they are.

Rule: what the owners last said is shown with its age; with `probe`, each partition's owner is asked whether it answers
now, because one that was killed cannot say so.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends

from services.console.instants import rfc3339
from services.console.owners import Owners
from services.console.status import StatusBoard
from services.runtime.clock import now_ms


def status_router(board: StatusBoard, owners: Owners, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in."""
    router = APIRouter()

    @router.get("/status", dependencies=[Depends(admit)])
    async def status(probe: bool = False) -> dict[str, Any]:
        """Partitions with their owners, states and lag; `complete` when every one is served."""
        parts = [board.owners[partition] for partition in sorted(board.owners)]
        answers: list[bool | None] = [None] * len(parts)
        if probe:
            answers = list(await asyncio.gather(*(owners.answers(part.partition) for part in parts)))
        served = sum(board.owner(part.partition) is not None and is_up is not False
                     for part, is_up in zip(parts, answers, strict=True))  # fmt: skip
        return {
            "complete": served >= board.partitions,
            "as_of": rfc3339(now_ms()),
            "partitions_expected": board.partitions,
            "contacts": sum(part.contacts for part in parts),
            "dead_letters": sum(part.dead_letters for part in parts),
            "partitions": [
                {
                    "partition": part.partition,
                    "state": part.state.value,
                    "answers": is_up,
                    "owner": part.owner,
                    "contacts": part.contacts,
                    "lag_records": part.lag_records,
                    "lag_ms": part.lag_ms,
                    "deadline_lateness_ms": part.deadline_lateness_ms,
                    "recovered_percent": part.recovered_percent,
                    "dead_letters": part.dead_letters,
                    "reported_at": rfc3339(part.reported_at),
                }
                for part, is_up in zip(parts, answers, strict=True)
            ],
        }

    return router
