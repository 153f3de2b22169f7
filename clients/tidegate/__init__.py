"""Tidegate for consumers: the Python SDK and the `tidegate` command line.

Rule: importable with the base dependencies alone; nothing here imports a service. A name is imported when it is first
used, so that a command does not pay for a Kafka client that it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.changes import MembershipChange
    from tidegate.client import Tidegate
    from tidegate.definition import SegmentDefinition, segment
    from tidegate.errors import (
        ConflictError,
        NotAllowedError,
        NotFoundError,
        NotReadyError,
        ProblemError,
        RefusedError,
        TidegateError,
        UnreachableError,
    )
    from tidegate.ledger import Ledger, MemoryLedger, SqliteLedger
    from tidegate.memberships import Memberships
    from tidegate.producer import ContactProducer

__all__ = [
    "ConflictError",
    "ContactProducer",
    "Ledger",
    "MembershipChange",
    "Memberships",
    "MemoryLedger",
    "NotAllowedError",
    "NotFoundError",
    "NotReadyError",
    "ProblemError",
    "RefusedError",
    "SegmentDefinition",
    "SqliteLedger",
    "Tidegate",
    "TidegateError",
    "UnreachableError",
    "segment",
]

_HOMES = {
    "ContactProducer": "producer",
    "Ledger": "ledger",
    "MembershipChange": "changes",
    "Memberships": "memberships",
    "MemoryLedger": "ledger",
    "SegmentDefinition": "definition",
    "SqliteLedger": "ledger",
    "Tidegate": "client",
    "segment": "definition",
}
"""The module of each name; the errors, which are all that is not here, live in `errors`."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
