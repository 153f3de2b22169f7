"""A header that says who asks, or which request it is, and comes twice: nobody could know which of both was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import Request

from services.runtime.admission import admitted
from services.runtime.keys import KeyFile, Scope
from services.runtime.problems import ProblemError
from services.runtime.repeats import identity_of


def asking(*headers: tuple[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "state": {"key_id": "k"}})


@pytest.mark.parametrize("second_is_known", [True, False])
def test_of_two_keys_none_is_taken(tmp_path: Path, second_is_known: bool) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    one, other = (f"Bearer {keys.create(name, {Scope.ADMIN}).token}" for name in ("one", "other"))
    assert admitted(asking(("Authorization", one)), keys, Scope.ADMIN).name == "one"
    second = other if second_is_known else "Basic eDp5"
    with pytest.raises(ProblemError) as refused:
        admitted(asking(("Authorization", one), ("Authorization", second)), keys, Scope.ADMIN)
    assert (refused.value.status, refused.value.code) == (401, "two_keys")


def test_of_two_idempotency_keys_none_is_taken() -> None:
    assert identity_of(asking(("Idempotency-Key", "a"))) is not None
    with pytest.raises(ProblemError) as refused:
        identity_of(asking(("Idempotency-Key", "a"), ("Idempotency-Key", "b")))
    assert (refused.value.status, refused.value.code) == (400, "invalid_idempotency_key")
