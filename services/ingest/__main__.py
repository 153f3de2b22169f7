"""`python -m services.ingest`: run the write API.

Rule: assembly and life only. A broker that goes away later costs answers of 503, never the process; that ends when what
it reads of the log ends, for it would answer from what was true once.
"""

from __future__ import annotations

import gc

from schemas.topics import Topic
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.runtime.application import ServiceContext, run_service
from services.runtime.topics import verify_topics
from services.runtime.web import listen, serve

TOPICS = (
    Topic.CONTACT_CHANGES,
    Topic.SEGMENTS,
    Topic.ATTRIBUTES,
    Topic.REQUESTS,
    Topic.EVALUATOR_STATUS,
    Topic.DEAD_LETTERS,
    Topic.AUDIT,
)
"""What ingest works on; the shape of any other topic is the business of whoever uses it."""


async def main(context: ServiceContext[IngestSettings]) -> None:
    """Serve until stopped."""
    settings = context.settings
    listening = listen(settings.host, settings.ingest_port)
    if not await context.came_about(verify_topics(settings, TOPICS)):
        return
    parts = Ingest.running(settings, tracing=context.tracing, tell=context.health.not_ready)
    async with context.running(parts) as ingest:
        if ingest is None:
            return
        # What stands now stands as long as the process; collections need not walk it again and again.
        gc.collect()
        gc.freeze()
        await serve(
            ingest.app, listening, context.stopping, lambda: context.health.ready("taking writes"), ingest.reading
        )


if __name__ == "__main__":
    run_service("ingest", IngestSettings, main)
