"""Tidegate for consumers: the Python SDK and the `tidegate` command line.

Rule: importable with the base dependencies alone; nothing here imports a service.
"""

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
