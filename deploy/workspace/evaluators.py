"""The evaluators of a workspace, found by what they say of themselves, and asked to look after their disks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
from pydantic import ValidationError

from deploy.workspace.broker import Broker
from deploy.workspace.errors import OperationRefusedError
from schemas.evaluator_status import PartitionState, PartitionStatusRecord, decode_status
from schemas.topics import Topic, topic_name
from services.runtime.between import client_between

BASE = "/internal/v1"
TIMEOUT_S = 600.0


class Checkpoint(NamedTuple):
    """One evaluator's checkpoint: where it is on the evaluator's own disk, and what it holds."""

    directory: Path
    manifest: dict[str, Any]


async def owners(broker: Broker, prefix: str) -> list[str]:
    """The addresses of the evaluators that work partitions now. Errors: `OperationRefusedError` when one has none."""
    newest: dict[int, PartitionStatusRecord] = {}
    async for _, records, _ in broker.read(topic_name(prefix, Topic.EVALUATOR_STATUS), {0: 0}):
        for record in records:
            if (status := _partition_status(record.value)) is not None:
                newest[status.partition] = status
    away = [index for index, status in newest.items() if status.state is not PartitionState.READY]
    if away or not newest:
        raise OperationRefusedError(
            f"partitions {away or 'of every number'} have no evaluator that is ready: start it, and repeat"
        )
    return sorted({status.owner.rstrip("/") for status in newest.values()})


def _partition_status(value: bytes | None) -> PartitionStatusRecord | None:
    """What is said of a partition; None where it is of something else, or has no sense: readers pass that by."""
    try:
        status = decode_status(value) if value is not None else None
    except ValidationError:
        return None
    return status if isinstance(status, PartitionStatusRecord) else None


async def take_checkpoints(addresses: Sequence[str]) -> list[Checkpoint]:
    """Let every evaluator take one."""
    answers = await _ask_all(addresses, "/checkpoint")
    return [Checkpoint(Path(answer["directory"]), answer["manifest"]) for answer in answers]


async def compact_stores(addresses: Sequence[str]) -> list[int]:
    """Let every evaluator rewrite its stores without what was deleted; the partitions done."""
    return sorted(index for answer in await _ask_all(addresses, "/compact") for index in answer["partitions"])


async def _ask_all(addresses: Sequence[str], path: str) -> list[dict[str, Any]]:
    found = []
    async with client_between(timeout=TIMEOUT_S) as http:
        for address in addresses:
            try:
                answer = await http.post(address + BASE + path)
            except httpx.HTTPError as error:
                raise OperationRefusedError(
                    f"the evaluator at {address} does not answer ({type(error).__name__}): run the command where its "
                    "internal address can be reached"
                ) from error
            if answer.status_code != httpx.codes.OK:
                raise OperationRefusedError(f"the evaluator at {address} answered {answer.status_code}: {answer.text}")
            found.append(orjson.loads(answer.content))
    return found
