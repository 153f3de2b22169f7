"""Makes one delivery: signed, to the address that was checked, again after growing waits, and given up in the end.

Rule: 2xx is delivered. A redirect is never followed. What repeating cannot repair (a redirect, a refused address, most
4xx) is given up at once; everything else, whatever becomes of the connection, after a bounded number of attempts. Of an
answer the status counts: its body is not read, its cookies are not kept.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from schemas.webhook import WebhookRecord
from services.runtime import clock
from services.webhooks import metrics
from services.webhooks.addresses import AddressRefusedError, NameUnresolvedError, read_url, resolve
from services.webhooks.answers import BoundedTransport
from services.webhooks.names import Names
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import SIGNATURE, signature

DELIVERY_ID: Final = "Tidegate-Delivery-Id"
WEBHOOK_ID: Final = "Tidegate-Webhook-Id"
REPEATABLE: Final = frozenset({408, 409, 425, 429})
"""The 4xx answers that mean "not now"."""
REASON_CHARACTERS_MAX: Final = 500
"""Of why an attempt failed: the rest may be what a receiver sent instead of HTTP."""


class TemporaryFailureError(Exception):
    """This attempt failed; another may not."""


class FinalFailureError(Exception):
    """No attempt can succeed until somebody changes something."""


class StoppedError(Exception):
    """The service is stopping; the delivery was neither made nor given up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a delivery ended. `reason` is None if it was made."""

    attempts: int
    reason: str | None = None


class Sender:
    """The sender of one webhook. Its connections are its own: one to a checked address carries nobody else's name."""

    def __init__(
        self,
        webhook: WebhookRecord,
        settings: WebhookSettings,
        stopping: asyncio.Event,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._webhook = webhook
        self._settings = settings
        self._stopping = stopping
        self._names = Names()
        # No client: it would keep a receiver's cookies and send them back, and read where a redirect leads.
        self._http = transport or BoundedTransport()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def deliver(self, delivery_id: str, body: bytes, attempts_max: int | None = None) -> Outcome:
        """Make a delivery, or say why it was given up. Errors: StoppedError."""
        attempts = 0
        given_up = stop_after_attempt(attempts_max or self._settings.webhook_attempts_max)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TemporaryFailureError),
            stop=lambda state: given_up(state) or self._stopping.is_set(),
            wait=wait_random_exponential(
                multiplier=self._settings.webhook_wait_first_ms / 1000, max=self._settings.webhook_wait_max_ms / 1000
            ),
            sleep=self._wait,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    attempts += 1
                    await self._attempt(delivery_id, body)
        except (TemporaryFailureError, FinalFailureError) as failure:
            if self._stopping.is_set() and isinstance(failure, TemporaryFailureError):
                raise StoppedError from failure
            metrics.DELIVERIES.labels("given_up").inc()
            return Outcome(attempts, str(failure))
        metrics.DELIVERIES.labels("delivered").inc()
        return Outcome(attempts)

    async def _attempt(self, delivery_id: str, body: bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.webhook_timeout_ms / 1000):
                status = await self._post(delivery_id, body)
        except AddressRefusedError as error:
            metrics.ATTEMPTS_FAILED.inc()
            raise FinalFailureError(str(error)) from error
        except TimeoutError as error:
            metrics.ATTEMPTS_FAILED.inc()
            raise TemporaryFailureError(f"no answer within {self._settings.webhook_timeout_ms} ms") from error
        except (NameUnresolvedError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            metrics.ATTEMPTS_FAILED.inc()
            raise TemporaryFailureError(_reason(error)) from error
        if 200 <= status < 300:
            return
        metrics.ATTEMPTS_FAILED.inc()
        if 300 <= status < 400:
            raise FinalFailureError(f"the receiver answered {status}; redirects are not followed")
        if 400 <= status < 500 and status not in REPEATABLE:
            raise FinalFailureError(f"the receiver answered {status}")
        raise TemporaryFailureError(f"the receiver answered {status}")

    async def _post(self, delivery_id: str, body: bytes) -> int:
        """Send to the address that the name stands for now, under the name that the URL has."""
        allow_local = self._settings.webhooks_allow_local
        target = read_url(self._webhook.url, allow_local=allow_local)
        address = await resolve(target, self._names, allow_local=allow_local)
        named = httpx.URL(self._webhook.url)
        headers = {
            "Host": named.netloc.decode("ascii"),
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "Tidegate-Webhooks/1",
            DELIVERY_ID: quote(delivery_id, safe="|"),
            WEBHOOK_ID: self._webhook.id,
            SIGNATURE: signature(self._webhook.secret, clock.now_ms() // 1000, body),
        }
        url = named.copy_with(host=address)
        extensions = {"sni_hostname": target.host}
        answer = await self._http.handle_async_request(
            httpx.Request("POST", url, content=body, headers=headers, extensions=extensions)
        )
        await answer.aclose()
        return answer.status_code

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _reason(error: Exception) -> str:
    told = str(error) or type(error).__name__
    return told if len(told) <= REASON_CHARACTERS_MAX else told[:REASON_CHARACTERS_MAX] + "…"
