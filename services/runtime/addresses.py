"""Addresses that settings name: no password stands in one that would not be sent, and none is shown.

Rule: what a service says of itself (logs, errors, statuses) may hold an address, so an address must hold no secret. A
broker's user and password have settings of their own, and so have a collector's; requests between our processes carry a
key, which leaves no room for another one.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def without_credentials(text: str) -> str:
    """The text with the user and the password of each URL in it left out."""
    return _CREDENTIALS.sub("…@", text)


def _brokers(servers: str) -> str:
    if "@" in servers or "/" in servers:
        raise ValueError(
            "brokers are host:port, comma separated; the protocol belongs to TIDEGATE_KAFKA_SECURITY_PROTOCOL, a user "
            "and a password to TIDEGATE_KAFKA_SASL_USERNAME and TIDEGATE_KAFKA_SASL_PASSWORD"
        )
    return servers


def _service_url(url: str) -> str:
    if "@" in url:
        raise ValueError("no user or password is sent there; leave it out")
    return url


def _collector_url(url: str) -> str:
    if "@" in url:
        raise ValueError("a user and a password belong to OTEL_EXPORTER_OTLP_HEADERS, as the header Authorization")
    return url


Brokers = Annotated[str, AfterValidator(_brokers)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
