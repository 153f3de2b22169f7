"""HTTP between our own processes: straight to the addresses that they tell one another, past any proxy.

Rule: a proxy of the environment is for the way out. What is asked inside would be lost there, and contacts be shown to
it. Knows neither paths nor answers.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

CONNECTIONS_MAX: Final = 100


def client_between(
    transport: httpx.AsyncBaseTransport | None = None, connections_max: int = CONNECTIONS_MAX, **options: Any
) -> httpx.AsyncClient:
    """A client for another process of ours; `transport` replaces the network, `options` are the client's own."""
    limits = httpx.Limits(max_connections=connections_max)
    # A client that is given a transport looks for no proxy.
    return httpx.AsyncClient(transport=transport or httpx.AsyncHTTPTransport(limits=limits), **options)
