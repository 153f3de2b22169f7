"""`python -m services.webhooks`: send membership changes by HTTP, and serve the API of webhooks."""

from __future__ import annotations

from schemas.topics import Topic
from services.runtime.application import ServiceContext, run_service
from services.runtime.topics import verify_topics
from services.runtime.web import listen, serve
from services.webhooks.service import running
from services.webhooks.settings import WebhookSettings


async def main(context: ServiceContext[WebhookSettings]) -> None:
    """Work until stopped."""
    settings = context.settings
    listening = listen(settings.host, settings.webhooks_port)
    if not await context.came_about(verify_topics(settings, (Topic.WEBHOOKS, Topic.AUDIT, Topic.MEMBERSHIPS))):
        return
    async with context.running(running(settings, context.stopping)) as parts:
        if parts is None:
            return
        app, working = parts
        await serve(app, listening, context.stopping, lambda: context.health.ready("delivering"), [working])


if __name__ == "__main__":
    run_service("webhooks", WebhookSettings, main)
