"""Who owns which partition, as the owners themselves say. Rule: a record that cannot be read changes nothing."""

from __future__ import annotations

from pydantic import ValidationError

from schemas.evaluator_status import PartitionState, PartitionStatusRecord, decode_status
from services.runtime.logs import get_logger

log = get_logger("owners")


def learn_owner(owners: dict[int, str], value: bytes | None) -> bool:
    """Bring the owners' addresses, by partition, up to a status record; whether it named an owner."""
    if value is None:
        return False
    try:
        status = decode_status(value)
    except ValidationError as error:
        log.warning("a status record cannot be read", problems=error.error_count())
        return False
    if not isinstance(status, PartitionStatusRecord):
        return False
    if status.state is PartitionState.STOPPED:
        owners.pop(status.partition, None)
        return False
    owners[status.partition] = status.owner.rstrip("/")
    return True
