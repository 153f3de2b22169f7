"""The examples for consumers do on a real broker what they say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from examples.plain_consumer import open_changes
from examples.workflow import Campaigns, follow
from schemas.topics import Topic, topic_name
from tests.services.sdk.conftest import Workspace
from tests.services.sdk.stream import Step, Stream
from tests.waiting import until

pytestmark = pytest.mark.broker
WAIT_S = 120.0


async def test_the_workflow_enrols_on_enter_and_cancels_on_exit(
    workspace: Workspace, stream: Stream, tmp_path: Path
) -> None:
    path = str(tmp_path / "campaigns.db")
    await stream.commit(Step("u", 1, ("trial-ending",)), Step("v", 2, ("reachable-pro", "at-risk")))
    following = asyncio.create_task(follow(workspace.bootstrap, path, workspace.prefix))
    seen = Campaigns(path)
    await _until(seen, {"u": "upgrade offer", "v": "a call from support"})
    await stream.commit(Step("v", 3, ("at-risk",), enters=False), Step("u", 4, ("trial-ending",), enters=False))
    await _until(seen, {"u": None, "v": "newsletter"})
    following.cancel()
    await asyncio.wait([following])
    seen.close()


async def test_the_plain_consumer_gives_each_committed_change_once(workspace: Workspace, stream: Stream) -> None:
    enter, leave = Step("u", 1, ("a",)), Step("u", 2, ("a",), enters=False)
    await stream.commit(enter, leave)
    await stream.abort(Step("ghost", 3, ("a",)))
    await stream.commit(enter, leave)
    await stream.erase("u", "a")
    await stream.commit(Step("u", 4, ("a",)))
    async with open_changes(workspace.bootstrap, topic_name(workspace.prefix, Topic.MEMBERSHIPS)) as changes:
        async with asyncio.timeout(WAIT_S):
            taken = [(change["contact_id"], change["change"]) for change in [await anext(changes) for _ in range(3)]]
    assert taken == [("u", "enter"), ("u", "exit"), ("u", "enter")]


async def _until(campaigns: Campaigns, wanted: dict[str, str | None]) -> None:
    def found() -> dict[str, str | None]:
        return {contact: campaigns.campaign(contact) for contact in wanted}

    await until(found, WAIT_S, f"the campaigns {wanted}", satisfies=lambda there: there == wanted)
