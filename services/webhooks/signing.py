"""Signs what is sent, so that a receiver knows who sent it and when.

Rule: `t` is the instant of the attempt in epoch seconds, and `v1` the HMAC-SHA256 of `<t>.<body>` with the webhook's
secret, in hex. A receiver refuses what it computes otherwise, and what is older than it is willing to believe.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

SIGNATURE: Final = "Tidegate-Signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public beginning of every secret, not a secret
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """A secret for a new webhook."""
    return SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def signature(secret: str, at_s: int, body: bytes) -> str:
    """The value of the header `Tidegate-Signature`."""
    digest = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
