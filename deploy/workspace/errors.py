"""The failure that a person can repair: what was found, what was expected, what to do."""

from __future__ import annotations

from services.runtime.errors import ServiceError


class OperationRefusedError(ServiceError):
    """The operation must not go on with what it found. Nothing is lost; the message says what to do, and to repeat."""
