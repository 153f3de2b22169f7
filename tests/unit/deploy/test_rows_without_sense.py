"""What a move says of rows that nobody of ours has written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.workspace.broker import Broker
from deploy.workspace.comparing import take_inventory
from deploy.workspace.control import read_control
from deploy.workspace.copying import UnreadableRowError, Workspace, moved_row
from deploy.workspace.errors import OperationRefusedError
from schemas.control_rows import CLOCK_KEY, CURSOR_KEY
from schemas.topics import Topic

ONE = Workspace("", 1)


class Holding(Broker):
    """A broker on which one topic has one record."""

    def __init__(self, topic: Topic, key: bytes, value: bytes) -> None:
        self.topic = topic
        self.record = SimpleNamespace(key=key, value=value, offset=0)

    async def read(
        self, topic: str, starts: Mapping[int, int], records_max: int = 1
    ) -> AsyncGenerator[tuple[int, Sequence[Any], int]]:
        if topic == self.topic:
            yield 0, [self.record], 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "Input is a zero-length"),
        (b"{", "line 1"),
        (b"[]", "it is no object"),
        (b"{}", "where the contact is a member"),
        (b'{"members": [], "due": null}', "where the contact is a member"),
        (b'{"members": {}}', "when the contact is due"),
        (b'{"members": {}, "due": "soon"}', "when the contact is due"),
    ],
)
async def test_a_contacts_row_without_sense_is_named_with_its_contact_and_what_to_do(value: bytes, why: str) -> None:
    with pytest.raises(UnreadableRowError, match=why):
        moved_row(value)
    with pytest.raises(OperationRefusedError, match=r"partition 0 of contacts-changelog .* for contact 'u_1' .*repeat"):
        await take_inventory(Holding(Topic.CONTACTS_CHANGELOG, b"u_1", value), ONE, 3)


@pytest.mark.parametrize("key", [CLOCK_KEY, CURSOR_KEY, b"segment|pros|1"])
async def test_a_control_row_without_sense_is_named_with_its_key(key: bytes) -> None:
    with pytest.raises(
        OperationRefusedError, match=r"partition 0 of control-changelog .* key " + repr(key.decode())[:-3]
    ):
        await read_control(Holding(Topic.CONTROL_CHANGELOG, key, b"{"), ONE)
