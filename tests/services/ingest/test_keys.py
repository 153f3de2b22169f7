"""The key file: hashes only, shared by processes, reloaded at once."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest

from schemas.request_record import RequestRecord
from services.ingest import request_store
from services.ingest.answers import instant_text
from services.ingest.once import Once
from services.runtime import clock
from services.runtime.keys import KeyFile, KeyFileError, Scope
from tests.services.ingest.conftest import Running


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


@pytest.mark.broker
async def test_a_key_is_made_for_a_while_over_http_and_shown_with_its_end(running: Running) -> None:
    until = clock.now_ms() + 3_600_000
    wanted = {"name": "crm", "scopes": ["admin"], "expires_at": instant_text(until)}
    made = await running.http.post("/api/v2/keys", json=wanted)
    assert (made.status_code, made.json()["expires_at"]) == (201, instant_text(until))
    shown = {key["id"]: key["expires_at"] for key in (await running.http.get("/api/v2/keys")).json()["keys"]}
    assert (shown.pop(made.json()["id"]), set(shown.values())) == (instant_text(until), {None})
    hand = Hand()
    keys = KeyFile(running.settings.keys_path, hand)
    hand.now_ms = until - 1
    assert keys.verify(made.json()["key"]) is not None
    hand.now_ms = until
    assert keys.verify(made.json()["key"]) is None


@pytest.mark.broker
async def test_an_end_that_is_past_or_no_instant_is_refused(running: Running) -> None:
    for end in (
        "2020-01-01T00:00:00Z",
        "tomorrow",
        "2090-01-31",
        "2090-01-31T12:00:00",
        "2090-13-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        4e12,
        True,
    ):
        answer = await running.http.post("/api/v2/keys", json={"name": "crm", "scopes": ["admin"], "expires_at": end})
        assert answer.status_code == 422, end
        assert answer.json()["errors"][0]["pointer"] == "/expires_at", answer.text


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


async def test_a_key_whose_token_nobody_was_told_is_beside_the_one_of_the_repeat_in_the_audit(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_once: Once, _digest: str, _outcome: RequestRecord) -> None: ...

    async def ask() -> httpx.Response:
        body = {"name": "crm", "scopes": ["contacts:write"]}
        return await running.http.post("/api/v2/keys", json=body, headers={"Idempotency-Key": "once"})

    with monkeypatch.context() as patched:
        patched.setattr(Once, "_finish", killed)
        untold = await ask()
    monkeypatch.setattr(request_store, "CLAIM_STALE_MS", -1)
    told = await ask()
    assert told.status_code == 201, told.text
    assert told.json()["id"] != untold.json()["id"]
    entries = (await running.http.get("/api/v2/audit", params={"kind": "key"})).json()["entries"]
    made = {entry["request_id"]: entry["subject"] for entry in entries if entry["to"]["name"] == "crm"}
    assert made == {answer.headers["x-request-id"]: answer.json()["id"] for answer in (untold, told)}
