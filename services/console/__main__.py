"""`python -m services.console`: the process. Puts the console together, serves it, and stops it in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from schemas.topics import Topic
from services.console.app import build_app
from services.console.declarations import Declarations
from services.console.feed import Feed
from services.console.follow import follow_changes, follow_declarations, follow_statuses, tell_counts
from services.console.forward import Ingest, Neighbour
from services.console.hour import Hour
from services.console.owners import Owners
from services.console.settings import ConsoleSettings
from services.console.status import StatusBoard
from services.runtime.application import ServiceContext, run_service
from services.runtime.clock import now_ms
from services.runtime.keys import KeyFile
from services.runtime.topics import verify_topics
from services.runtime.web import listen, raise_ended, serve

READS = (Topic.MEMBERSHIPS, Topic.EVALUATOR_STATUS, Topic.ATTRIBUTES, Topic.DEAD_LETTERS)


async def main(context: ServiceContext[ConsoleSettings]) -> None:
    """Read statuses and changes, then serve until told to stop."""
    settings = context.settings
    listening = listen(settings.host, settings.console_port)
    if not await context.came_about(verify_topics(settings, READS)):
        return
    board, feed = StatusBoard(settings.partitions), Feed(settings.partitions)
    hour, declarations = Hour(now_ms()), Declarations()
    owners, ingest = Owners(board, settings.partitions), Ingest(settings.ingest_url)
    webhooks = Neighbour("webhooks", settings.webhooks_url) if settings.webhooks_url else None
    keys = KeyFile(settings.keys_path)
    app = build_app(settings, keys, board, hour, feed, declarations, owners, ingest, webhooks)
    caught_up = asyncio.Event()
    followers = [
        asyncio.create_task(follow_statuses(settings, board, caught_up), name="statuses"),
        asyncio.create_task(follow_declarations(settings, declarations), name="declarations"),
        asyncio.create_task(follow_changes(settings, feed, hour), name="changes"),
        asyncio.create_task(tell_counts(board, feed, hour), name="counts"),
    ]
    try:
        if not await context.came_about(_read_first(followers, caught_up, feed.started)):
            return
        ending = asyncio.create_task(_end_streams(context.stopping, feed), name="end streams")
        try:
            await serve(app, listening, context.stopping, context.health.ready, followers)
        finally:
            ending.cancel()
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await owners.close()
        await ingest.close()
        if webhooks is not None:
            await webhooks.close()


async def _read_first(followers: Collection[asyncio.Task[None]], *read: asyncio.Event) -> None:
    """Return once all this has come about. Errors: what a follower failed with before."""
    ready = asyncio.create_task(_all(read), name="caught up")
    try:
        await asyncio.wait([*followers, ready], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
    raise_ended(followers)


async def _all(events: Collection[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _end_streams(stopping: asyncio.Event, feed: Feed) -> None:
    """Live readers are told that the console stops, so that their requests end."""
    await stopping.wait()
    feed.close()


if __name__ == "__main__":
    run_service("console", ConsoleSettings, main)
