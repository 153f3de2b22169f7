"""The plain consumer meets what is no membership change: it says so, without what it holds, and goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from examples.plain_consumer import _each_once
from tests.unit.sdk.test_grouping import NO_CHANGES, change

HOSTILE = (b"[" * 100_000, b'{"at": 1, "offset": 2}', b'"canary"', b'{"at": {}, "offset": 1}')
KEY, VALUE = change("a", "u", 1, 0)
WRONG_INSTANT = (VALUE or b"").replace(b'"at":1', b'"at":"1"')


async def test_what_is_no_change_is_said_and_the_changes_behind_it_come(capsys: pytest.CaptureFixture[str]) -> None:
    values = (VALUE, *NO_CHANGES, *HOSTILE, WRONG_INSTANT)
    rows = [*((KEY, value) for value in values), change("a", "u", 2, 1, member=False)]

    async def records() -> AsyncIterator[Any]:
        for offset, (key, value) in enumerate(rows):
            yield SimpleNamespace(topic="memberships", partition=3, offset=offset, key=key, value=value)

    given = [each["change"] async for each in _each_once(cast("Any", records()))]
    assert given == ["enter", "exit"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"memberships, partition 3, offset {offset}: no membership change" for offset in range(1, len(values))
    ]
