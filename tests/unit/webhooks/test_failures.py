"""Given-up deliveries are bounded in number and in memory, and those of who has most go first."""

from __future__ import annotations

import pytest

from schemas.webhook import WebhookFailureRecord, WebhookRecord, failure_key
from segmentation.model import InstantMs
from services.webhooks import failures
from services.webhooks.failures import FAILURES_BYTES_MAX, FAILURES_MAX, Failures
from services.webhooks.registry import Registry
from services.webhooks.settings import WebhookSettings
from services.webhooks.signing import new_secret


def failure(webhook: str, name: int, body: str = "{}") -> WebhookFailureRecord:
    return WebhookFailureRecord(
        webhook_id=webhook,
        failure_id=str(name),
        delivery_id=f"{webhook}|{name}",
        contact_id="u",
        failed_at=InstantMs(0),
        attempts=1,
        reason="the receiver answered 410",
        body=body,
    )


def test_the_oldest_of_a_webhook_goes_first_when_there_are_too_many() -> None:
    kept = Failures()
    for number in range(FAILURES_MAX):
        kept.apply(f"w|{number}", failure("w", number))
    assert kept.surplus() is None
    kept.apply("w|0", failure("w", 0))  # given up again, so it is the newest
    kept.apply("w|new", failure("w", -1))
    assert kept.surplus() == ("w", "1")


def test_failures_are_bounded_by_what_they_take_together_and_who_has_most_gives() -> None:
    kept = Failures()
    large = "x" * (FAILURES_BYTES_MAX // 8)
    kept.apply("small|0", failure("small", 0))
    for number in range(8):
        kept.apply(f"w|{number}", failure("w", number, large))
    assert kept.surplus() == ("w", "0")
    kept.apply("w|0", None)
    assert kept.surplus() is None
    assert [one.failure_id for one in kept.of("w")] == ["7", "6", "5", "4", "3", "2", "1"]
    assert len(kept) == 8


def test_what_is_replaced_or_gone_is_not_counted() -> None:
    kept = Failures()
    large = "x" * (FAILURES_BYTES_MAX // 2)
    for _ in range(10):
        kept.apply("w|1", failure("w", 1, large))
        kept.apply("w|2", failure("w", 2, large))
        kept.apply("w|2", None)
        kept.apply("w|3", None)
    assert kept.surplus() is None
    kept.apply("w|1", None)
    assert (len(kept), kept.of("w"), kept.get("w", "1")) == (0, [], None)


def test_text_is_counted_as_it_is_in_memory() -> None:
    kept = Failures()
    wide = "x" * (FAILURES_BYTES_MAX // 16) + "\N{SLIGHTLY SMILING FACE}"  # four bytes a character
    for number in range(4):
        kept.apply(f"w|{number}", failure("w", number, wide))
    assert kept.surplus() == ("w", "0")


async def test_whoever_gives_up_another_forgets_the_oldest_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "FAILURES_BYTES_MAX", 40_000)
    registry = Registry(WebhookSettings(), None)
    registry._apply(
        "webhook|w",
        WebhookRecord(id="w", url="https://a.example/", secret=new_secret(), created_at=InstantMs(0)).encode(),
    )
    log: list[tuple[bytes, bytes | None]] = []

    async def append(key: bytes, value: bytes | None) -> None:
        log.append((key, value))
        registry._apply(key.decode(), value)

    monkeypatch.setattr(registry, "_append", append)
    for number in range(10):
        await registry.give_up(failure("w", number, f'"{"x" * 10_000}"'))
    assert [one.failure_id for one in registry.failures("w")] == ["9", "8", "7"]
    forgotten = [key for key, value in log if value is None]
    assert forgotten == [failure_key("w", str(number)) for number in range(7)]
    await registry.forget_old(InstantMs(1))
    assert len(log) == 17
