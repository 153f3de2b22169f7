"""Of those who want to replay a delivery one may, whoever reads the log; what was delivered is known for a day."""

from __future__ import annotations

from schemas.webhook import WebhookReplayRecord
from segmentation.model import InstantMs
from services.webhooks.replays import CLAIM_MS, KEPT_MS, REPLAYS_MAX, Replays

AT = 1_790_000_000_000


def replay(claim: str, at: int = AT, delivered: int | None = None, failure: str = "f") -> WebhookReplayRecord:
    return WebhookReplayRecord(
        webhook_id="w",
        failure_id=failure,
        claim=claim,
        claimed_at=InstantMs(at),
        delivered_at=None if delivered is None else InstantMs(delivered),
    )


def folded(*records: WebhookReplayRecord | None) -> WebhookReplayRecord | None:
    replays = Replays()
    for record in records:
        replays.apply("w|f", record)
    return replays.get("w", "f")


def test_the_first_claim_stands_until_it_is_given_back() -> None:
    first, second = replay("first"), replay("second", AT + 1)
    assert folded(first, second) == first
    assert folded(first, None, second) == second


def test_a_claim_of_one_who_died_is_anothers_to_make() -> None:
    late = replay("second", AT + CLAIM_MS + 1)
    assert folded(replay("first"), replay("early", AT + CLAIM_MS)) == replay("first")
    assert folded(replay("first"), late) == late


def test_what_was_delivered_stands_for_a_day_and_no_longer() -> None:
    delivered = replay("first", AT, AT + 5)
    assert folded(replay("first"), delivered, replay("second", AT + 5 + KEPT_MS)) == delivered
    later = replay("second", AT + 6 + KEPT_MS)
    assert folded(replay("first"), delivered, later) == later


def test_replays_are_bounded_and_those_that_are_over_go_first() -> None:
    replays = Replays()
    replays.apply("w|old", replay("a", AT - 2 * CLAIM_MS, failure="old"))
    for number in range(REPLAYS_MAX):
        replays.apply(f"w|{number}", replay("a", failure=str(number)))
    assert replays.too_many("w", AT) == ["old", "0"]
    assert replays.too_many("other", AT) == []
