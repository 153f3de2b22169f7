"""Free and taken TCP ports on loopback.

Rule: a port is found free by binding it, never by connecting to what might be a stranger's server; connecting is for
ports that a child of ours was told to open. Ports are chosen below those that systems give to outgoing connections: one
of these may be taken while nothing listens on it, even by the very client that tries to reach it.
"""

from __future__ import annotations

import random
import socket
from itertools import islice

from deploy.local.errors import LocalStackError

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 1.0
BASE_MIN, BASE_MAX = 20_000, 30_000
SINGLE_MIN, SINGLE_MAX = 10_000, 20_000


def require_free(port: int, used_for: str, repair: str) -> None:
    """Raise `LocalStackError` when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise LocalStackError(
                f"Port {port}, needed for {used_for}, is in use on {LOOPBACK} ({error.strerror}); {repair}."
            ) from error


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    shuffled = random.sample(range(SINGLE_MIN, SINGLE_MAX), SINGLE_MAX - SINGLE_MIN)
    found = list(islice(filter(_is_free, shuffled), count))
    if len(found) < count:
        raise LocalStackError(f"No {count} free ports were found from {SINGLE_MIN} to {SINGLE_MAX}.")
    return found


def accepts_connections(port: int) -> bool:
    """Whether something accepts connections on the port now."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def free_base(span: int) -> int:
    """Return a port from which so many in a row were free a moment ago, below those that systems hand out."""
    first: int = random.randrange(BASE_MIN, BASE_MAX - span)  # noqa: S311 - spreads neighbours apart, guards nothing
    candidates: list[int] = [*range(first, BASE_MAX - span, span), *range(BASE_MIN, first, span)]
    for base in candidates:
        if all(_is_free(port) for port in range(base, base + span)):
            return base
    raise LocalStackError(f"No {span} free ports in a row were found from {BASE_MIN} to {BASE_MAX}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
