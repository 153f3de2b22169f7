"""The failures of I/O and of start-up, as the house's second family of errors.

Rule: a `ServiceError` names where it happened (topic, partition, offset) and is raised `from` its cause. A rejection of
someone's input is never one of these: it is a value. A broken assertion of ours is an ordinary exception and crashes.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Something outside the process failed: the broker, the disk, the network."""

    def __init__(
        self, message: str, *, topic: str | None = None, partition: int | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.topic = topic
        self.partition = partition
        self.offset = offset

    def __str__(self) -> str:
        """Return the message followed by where it happened."""
        where = [
            f"{name} {value}"
            for name, value in (("topic", self.topic), ("partition", self.partition), ("offset", self.offset))
            if value is not None
        ]
        return f"{self.message} ({', '.join(where)})" if where else self.message


class StartRefusedError(ServiceError):
    """The process must not run with what it found: a wrong topic, wrong settings, state that cannot be trusted.

    The message says what was found, what was expected and how to repair it; the process ends with `EXIT_REFUSED`,
    which a supervisor must not answer with a restart.
    """
