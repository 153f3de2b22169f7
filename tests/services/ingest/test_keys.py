"""The key file: hashes only, shared by processes, reloaded at once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.runtime.keys import KeyFile, KeyFileError, Scope


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def test_a_new_key_is_verified_and_only_its_hash_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = KeyFile(path).create("crm", {Scope.CONTACTS_WRITE})
    assert KeyFile(path).verify(made.token) == made.key
    secret = made.token.split("_", 2)[2]
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_two_tokens_are_alike_and_each_holds_256_bits(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secrets = {keys.create("crm", ()).token.split("_", 2)[2] for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) * 6 >= 256 for secret in secrets)


def test_a_change_of_the_file_is_seen_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    serving, managing = KeyFile(path), KeyFile(path)
    made = managing.create("crm", {Scope.ADMIN})
    assert serving.verify(made.token) is not None
    assert managing.revoke(made.key.id) == made.key
    assert serving.verify(made.token) is None


def test_two_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = KeyFile(tmp_path / "keys.json"), KeyFile(tmp_path / "keys.json")
    one.create("a", ())
    other.create("b", ())
    one.create("c", ())
    assert [key.name for key in sorted(other.keys(), key=lambda key: key.name)] == ["a", "b", "c"]


def test_an_expired_key_is_refused_from_its_instant_on(tmp_path: Path) -> None:
    hand = Hand()
    keys = KeyFile(tmp_path / "keys.json", hand)
    made = keys.create("short", {Scope.ADMIN}, expires_at=2_000)
    hand.now_ms = 1_999
    assert keys.verify(made.token) is not None
    hand.now_ms = 2_000
    assert keys.verify(made.token) is None


@pytest.mark.parametrize("token", ["", "tg_", "tg_zzzzzzzz_AAAA", "Bearer", "tg_" + "x" * 5_000, "\ud800"])
def test_no_other_text_is_a_key(tmp_path: Path, token: str) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    keys.create("crm", {Scope.ADMIN})
    assert keys.verify(token) is None


def test_the_right_id_with_another_secret_is_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made = keys.create("crm", {Scope.ADMIN})
    assert keys.verify(made.token[:-1] + ("A" if made.token[-1] != "A" else "B")) is None


def test_admin_allows_every_scope_and_others_only_their_own(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    assert all(keys.create("a", {Scope.ADMIN}).key.allows(scope) for scope in Scope)
    narrow = keys.create("b", {Scope.SEGMENTS_READ}).key
    assert [scope for scope in Scope if narrow.allows(scope)] == [Scope.SEGMENTS_READ]


def test_a_damaged_file_is_named_and_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{")
    with pytest.raises(KeyFileError, match=r"keys\.json cannot be read"):
        KeyFile(path).verify("tg_x")
