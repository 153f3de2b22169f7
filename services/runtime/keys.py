"""API keys: a file of hashes that services share, and whether a token is one of them.

Rule: a token is 256 random bits, shown once when it is made; only its SHA-256 is kept. Verification compares in
constant time, and sees a change of the file at once, so a revoked key is dead without a restart. Every change is in the
audit log before it is made. Nothing here logs a token.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.runtime import clock
from services.runtime.audit import AUDIT_FILE_NAME, ON_THE_MACHINE, Actor, Audit, AuditEvent
from services.runtime.errors import ServiceError
from services.runtime.stored_files import OWNER_ONLY, replace_whole

KEY_FILE_NAME = "keys.json"
"""Under the data directory, unless a service is told another path."""
TOKEN_PREFIX = "tg_"  # noqa: S105 - the public beginning of every token, not a secret
TOKEN_SECRET_BYTES = 32
KEY_ID_BYTES = 4
KEYS_MAX = 10_000
KEY_NAME_CHARACTERS_MAX = 200
TOKEN_CHARACTERS_MAX = 200
_NO_HASH = "0" * 64
_Stamp = tuple[int, int, int]


class Scope(StrEnum):
    """What a key may be used for. `admin` allows everything."""

    CONTACTS_WRITE = "contacts:write"
    CONTACTS_READ = "contacts:read"
    SEGMENTS_WRITE = "segments:write"
    SEGMENTS_READ = "segments:read"
    IMPORTS_WRITE = "imports:write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as it is kept. Units: instants in epoch milliseconds; `expires_at` None never expires."""

    id: str
    name: str
    scopes: frozenset[Scope]
    sha256: str
    created_at: int
    expires_at: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key may be used for this."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, and the only sight of its token."""

    key: ApiKey
    token: str


class KeyFileError(ServiceError):
    """The key file cannot be read or written; the message says which, where and what to do."""


class KeyFile:
    """The keys in one file. Several processes may share it: writes take a lock and replace the file whole."""

    def __init__(self, path: Path, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._path = path
        self._now_ms = now_ms
        self.audit = Audit(path.with_name(AUDIT_FILE_NAME), now_ms)
        self._seen: tuple[_Stamp | None, dict[str, ApiKey]] = None, {}
        """The file as it was last read and what it held. Replaced together, because threads read at the same time."""

    def keys(self) -> list[ApiKey]:
        """All keys, oldest first."""
        return sorted(self._read().values(), key=lambda key: (key.created_at, key.id))

    def verify(self, token: str) -> ApiKey | None:
        """The key that a token belongs to; None if there is none or it has expired.

        Cost: one `stat`; one read when the file has changed.
        """
        keys = self._read()
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        key = keys.get(_key_id_of(token))
        matches = hmac.compare_digest(_hash(token), key.sha256 if key is not None else _NO_HASH)
        if key is None or not matches:
            return None
        if key.expires_at is not None and key.expires_at <= self._now_ms():
            return None
        return key

    def create(
        self,
        name: str,
        scopes: Collection[Scope],
        expires_at: int | None = None,
        by: Actor = ON_THE_MACHINE,
        request_id: str | None = None,
    ) -> NewKey:
        """Make a key. Errors: `KeyFileError`, `AuditError`."""
        key_id = secrets.token_hex(KEY_ID_BYTES)
        token = f"{TOKEN_PREFIX}{key_id}_{secrets.token_urlsafe(TOKEN_SECRET_BYTES)}"
        key = ApiKey(key_id, name, frozenset(scopes), _hash(token), self._now_ms(), expires_at)
        with self._locked() as keys:
            if len(keys) >= KEYS_MAX:
                raise KeyFileError(f"{self._path} holds {KEYS_MAX} keys, the most there may be; revoke one first")
            made = AuditEvent("key.created", key_id, by, None, _audited(key), request_id)
            self.audit.append(made)
            self._write({**keys, key_id: key})
        return NewKey(key, token)

    def revoke(self, key_id: str, by: Actor = ON_THE_MACHINE, request_id: str | None = None) -> ApiKey | None:
        """Take a key away; None if there was none. Errors: `KeyFileError`, `AuditError`."""
        with self._locked() as keys:
            key = keys.get(key_id)
            if key is not None:
                self.audit.append(AuditEvent("key.revoked", key_id, by, _audited(key), None, request_id))
                self._write({other: kept for other, kept in keys.items() if other != key_id})
        return key

    def _read(self) -> dict[str, ApiKey]:
        """The keys as the file has them now."""
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
            seen, keys = self._seen
            if stamp != seen:
                # A file that is replaced after it was looked at is read under the old stamp, and so once more.
                keys = {key.id: key for key in map(_key_from_json, json.loads(self._path.read_bytes())["keys"])}
                self._seen = stamp, keys
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyFileError(
                f"the key file {self._path} cannot be read: {error!r}; restore it, or remove it and make new keys"
            ) from error
        return keys

    def _write(self, keys: dict[str, ApiKey]) -> None:
        content = json.dumps({"keys": [_key_to_json(key) for key in keys.values()]}, indent=1)
        try:
            replace_whole(self._path, content.encode(), OWNER_ONLY)
        except OSError as error:
            raise KeyFileError(f"the key file {self._path} cannot be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[dict[str, ApiKey]]:
        """Keep other writers out, of this and other processes; gives what they wrote before."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_suffix(".lock").open("w")
        except OSError as error:
            raise KeyFileError(f"the key file {self._path} cannot be changed: {error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._read()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _key_id_of(token: str) -> str:
    return token.removeprefix(TOKEN_PREFIX).partition("_")[0]


def _key_to_json(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "sha256": key.sha256,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def _audited(key: ApiKey) -> dict[str, object]:
    """What the audit log tells of a key: all but its hash."""
    return {name: value for name, value in _key_to_json(key).items() if name not in ("id", "sha256")}


def _key_from_json(entry: dict[str, object]) -> ApiKey:
    scopes, expires_at = entry["scopes"], entry.get("expires_at")
    if not isinstance(scopes, list) or not isinstance(expires_at, int | None):
        raise TypeError("scopes must be a list and expires_at a number or null")
    return ApiKey(
        str(entry["id"]),
        str(entry["name"]),
        frozenset(Scope(scope) for scope in scopes),
        str(entry["sha256"]),
        int(str(entry["created_at"])),
        expires_at,
    )
