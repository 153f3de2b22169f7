"""How our clients reach Kafka: address and security, the same for every producer, consumer and admin client.

Rule: settings become client options here only, so that a cluster that asks for SASL_SSL needs no change elsewhere. What
a client does on the connection (acks, isolation, batching) is its owner's choice.
"""

from __future__ import annotations

import ssl
from typing import Any

from services.runtime.errors import StartRefusedError
from services.runtime.settings import RuntimeSettings
from tidegate.kafka import mend_client


def client_options(settings: RuntimeSettings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client takes.

    Errors: raises `StartRefusedError` when a credential or certificate that the protocol needs is missing.
    """
    mend_client()
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap, "security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if protocol.startswith("SASL"):
        options |= _sasl(settings)
    return options


def _sasl(settings: RuntimeSettings) -> dict[str, str]:
    username, password = settings.kafka_sasl_username, settings.kafka_sasl_password
    if username is None or password is None:
        raise StartRefusedError(
            f"TIDEGATE_KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}, which needs "
            "TIDEGATE_KAFKA_SASL_USERNAME and TIDEGATE_KAFKA_SASL_PASSWORD; set both"
        )
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password.get_secret_value(),
    }


def _ssl_context(settings: RuntimeSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    except OSError as error:
        raise StartRefusedError(
            f"TIDEGATE_KAFKA_SSL_CA_FILE {settings.kafka_ssl_ca_file} cannot be read as PEM certificates: {error}"
        ) from error
