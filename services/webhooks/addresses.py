"""Where a webhook may be sent: which URLs are allowed, and the one address that a name stands for this time.

Rule: a name is resolved once, every address it stands for must be public, and the connection goes to the one that was
checked; so a name cannot point elsewhere between the check and the connection. Only the development setting lifts this.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from services.webhooks.names import Names

URL_CHARACTERS_MAX: Final = 2_048
_RELAYS: Final = IPv4Network("192.88.99.0/24")
"""Of 6to4, deprecated and reserved; some networks still carry what goes there. The standard library calls it global."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is given out. Outside are ranges that some networks route inside, such as segment routing's and the
deprecated site-local one; the standard library calls them global."""
_DOCUMENTATION: Final = IPv6Network("3fff::/20")
"""Inside that, and nobody's; newer than the standard library's list."""
_EMBEDDING: Final = tuple(
    IPv6Network(text)
    for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""IPv6 ranges that carry an IPv4 address inside, which may be private."""


class AddressRefusedError(Exception):
    """The URL may not be sent to; the message says why and what would be allowed."""


class NameUnresolvedError(Exception):
    """The name stands for no address now; it may later."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `host` as a name or an address without brackets."""

    scheme: str
    host: str
    port: int


def read_url(url: str, *, allow_local: bool) -> Target:
    """Take a URL apart. Errors: AddressRefusedError when no webhook may have it, whatever its name resolves to."""
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefusedError(f"a URL has at most {URL_CHARACTERS_MAX} printable ASCII characters, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefusedError(f"this is no URL: {error}") from error
    schemes = ("https", "http") if allow_local else ("https",)
    if parts.scheme not in schemes or not parts.hostname:
        raise AddressRefusedError(f"a webhook's URL begins with {' or '.join(f'{each}://' for each in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise AddressRefusedError("a webhook's URL holds no user name or password; the signature is what to check")
    if port == 0:
        raise AddressRefusedError("nothing listens on port 0")
    target = Target(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))
    literal = _literal(target.host)
    if literal is not None and not allow_local:
        _demand_public(literal)
    return target


async def resolve(target: Target, names: Names, *, allow_local: bool) -> str:
    """The address to connect to.

    Errors: AddressRefusedError when any address of the name is not public; NameUnresolvedError when it has none.
    """
    try:
        found = await names.addresses(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise NameUnresolvedError(
            f"{target.host} stands for no address: {str(error) or 'no answer in time'}"
        ) from error
    addresses = [ip_address(address.partition("%")[0]) for address in found]
    if not addresses:
        raise NameUnresolvedError(f"{target.host} stands for no address")
    if not allow_local:
        for address in addresses:
            _demand_public(address)
    return str(addresses[0])


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _demand_public(address: IPv4Address | IPv6Address) -> None:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            _demand_public(address.ipv4_mapped)
            return
        if any(address in network for network in _EMBEDDING):
            raise AddressRefusedError(f"{address} carries another address inside; webhooks go to public addresses only")
        if address not in _GLOBAL_UNICAST or address in _DOCUMENTATION:
            raise AddressRefusedError(f"{address} is not a public address; webhooks go to public addresses only")
    if not address.is_global or address.is_multicast or address in _RELAYS:
        raise AddressRefusedError(f"{address} is not a public address; webhooks go to public addresses only")
