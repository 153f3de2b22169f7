"""Writes who changed what to the topic `audit-log`, for whoever asks `GET /audit`.

Rule: what cannot be told there is not done: every replica has a record before its change is made. Nothing here reads
the topic, and nobody who reads it sees a secret.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError
from fastapi import Request

from schemas.audit_record import SEGMENTS_TOLD_MAX, AuditAction, AuditedReplay, AuditedWebhook, AuditRecord
from schemas.topics import Topic, topic_name
from schemas.webhook import WebhookRecord
from services.runtime.errors import ServiceError
from services.webhooks.addresses import AddressRefusedError, read_url
from services.webhooks.settings import WebhookSettings


class AuditLog:
    """Tells what the routes do."""

    def __init__(self, settings: WebhookSettings, producer: Any) -> None:
        self._producer = producer
        self._topic = topic_name(settings.topic_prefix, Topic.AUDIT)
        self._timeout_s = settings.webhooks_append_timeout_ms / 1000

    async def created(self, webhook: WebhookRecord, request: Request) -> None:
        """A webhook is about to be made. Errors: ServiceError."""
        await self._add(AuditAction.WEBHOOK_CREATED, webhook.id, request, None, audited(webhook))

    async def deleted(self, webhook: WebhookRecord, request: Request) -> None:
        """A webhook is about to be deleted. Errors: ServiceError."""
        await self._add(AuditAction.WEBHOOK_DELETED, webhook.id, request, audited(webhook), None)

    async def replayed(self, webhook_id: str, failure_id: str, request: Request) -> None:
        """A given-up delivery is about to be tried again. Errors: ServiceError."""
        replay = AuditedReplay(failure=failure_id)
        await self._add(AuditAction.WEBHOOK_REPLAYED, webhook_id, request, None, replay)

    async def _add(
        self,
        action: AuditAction,
        subject: str,
        request: Request,
        before: AuditedWebhook | None,
        after: AuditedWebhook | AuditedReplay | None,
    ) -> None:
        record = AuditRecord(
            action=action,
            subject=subject,
            key_id=request.state.key_id,
            key_name=request.state.key_name,
            request_id=request.state.request_id,
            before=before,
            after=after,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.send_and_wait(self._topic, record.encode(), key=subject.encode(), partition=0)
        except (KafkaError, TimeoutError) as error:
            raise ServiceError("the broker did not take who does it, so it was not done", topic=self._topic) from error


def audited(webhook: WebhookRecord) -> AuditedWebhook:
    """What is told of a webhook."""
    segments = webhook.segments
    return AuditedWebhook(
        to=_host(webhook.url),
        segments=None if segments is None else segments[:SEGMENTS_TOLD_MAX],
        segments_total=None if segments is None else len(segments),
    )


def _host(url: str) -> str:
    """Where a webhook sends to; empty for what somebody else wrote to our topic, which can be deleted all the same."""
    try:
        return read_url(url, allow_local=True).host
    except AddressRefusedError:
        return ""
