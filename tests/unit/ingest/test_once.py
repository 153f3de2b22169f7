"""What is kept of an answer: enough to tell it again, whatever its length, and nothing of one that says "not now"."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import cast

import orjson
import pytest
from fastapi.responses import Response

from schemas.request_record import RequestRecord, RequestState
from services.ingest.once import KEPT_BYTES_MAX, Once
from services.ingest.request_log import RequestLog
from services.runtime import clock
from services.runtime.errors import ServiceError
from services.runtime.problems import ProblemError

RECORD_BYTES_MAX = 1024 * 1024
"""What the broker takes, and the producer's `max_request_size`."""


class Log:
    """Stands for the topic."""

    def __init__(self) -> None:
        self.kept: dict[str, RequestRecord] = {}

    def get(self, digest: str) -> tuple[RequestRecord, int] | None:
        record = self.kept.get(digest)
        return (record, clock.now_ms()) if record is not None else None

    async def claim(self, digest: str, record: RequestRecord) -> bool:
        self.kept[digest] = record
        return True

    async def finish(self, digest: str, record: RequestRecord) -> None:
        assert len(record.encode()) < RECORD_BYTES_MAX
        if record.state is RequestState.RELEASED:
            del self.kept[digest]
        else:
            self.kept[digest] = record


class LateLog(Log):
    """Stands for the topic of a broker that takes a claim and does not say so in time, once."""

    is_late = True

    async def claim(self, digest: str, record: RequestRecord) -> bool:
        taken = await super().claim(digest, record)
        if self.is_late:
            self.is_late = False
            raise ServiceError("a claim was not read back in time")
        return taken

    async def settled(self, _digest: str, _timeout_s: float) -> None:
        return


class Asked:
    """One request, asked as often as one likes."""

    def __init__(self, answer: Response, shorter: Iterable[bytes] = (), log: Log | None = None) -> None:
        self.once = Once(cast("RequestLog", log or Log()))
        self.carried_out = 0
        self._answer = answer
        self._shorter = list(shorter)

    async def ask(self) -> Response:
        async def carry_out() -> Response:
            self.carried_out += 1
            return self._answer

        try:
            return await self.once.answer("d", "f", carry_out, lambda answer: [bytes(answer.body), *self._shorter])
        finally:
            await self.once.close()


def body_of(length: int) -> bytes:
    receipt = b'{"id":"u_17","status":202,"changes":[{"segment_id":"pros","change":"enter"}]},'
    return receipt * (length // len(receipt) + 1)


@pytest.mark.parametrize("length", [10, KEPT_BYTES_MAX + 1, 4 * KEPT_BYTES_MAX])
async def test_an_answer_of_any_length_is_told_again_and_not_carried_out_again(length: int) -> None:
    asked = Asked(Response(body_of(length), 202))
    first, again = await asked.ask(), await asked.ask()
    assert (again.status_code, bytes(again.body) == bytes(first.body)) == (202, True)
    assert asked.carried_out == 1


async def test_what_cannot_be_packed_is_told_again_shorter() -> None:
    said = {"X-Request-Id": "req_1", "Preference-Applied": "wait=2"}
    asked = Asked(Response(secrets.token_hex(KEPT_BYTES_MAX), 202, said), [b"short"])
    await asked.ask()
    again = await asked.ask()
    assert bytes(again.body) == b"short"
    # What was true of the first answer alone, its length and its id, is not told with another.
    assert (again.headers["content-length"], again.headers["preference-applied"]) == ("5", "wait=2")
    assert "x-request-id" not in again.headers
    assert asked.carried_out == 1


async def test_a_request_that_was_carried_out_is_never_released_for_the_length_of_its_answer() -> None:
    long = secrets.token_hex(KEPT_BYTES_MAX).encode()
    asked = Asked(Response(long, 202), [long])
    await asked.ask()
    again = await asked.ask()
    assert again.status_code == 202
    assert "carried out" in orjson.loads(bytes(again.body))["notice"]
    assert asked.carried_out == 1


async def test_a_batch_of_which_a_part_was_not_acknowledged_may_be_repeated() -> None:
    asked = Asked(Response(b'{"receipts":[]}', 207, {"Retry-After": "1"}))
    await asked.ask()
    await asked.ask()
    assert asked.carried_out == 2


async def test_a_batch_of_which_a_part_was_refused_is_carried_out_once() -> None:
    asked = Asked(Response(b'{"receipts":[]}', 207))
    await asked.ask()
    await asked.ask()
    assert asked.carried_out == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 429, 500, 503])
async def test_an_answer_by_which_nothing_was_done_is_not_kept(status: int) -> None:
    asked = Asked(Response(b"", status))
    await asked.ask()
    await asked.ask()
    assert asked.carried_out == 2


async def test_a_claim_of_which_is_not_known_whether_it_stands_does_not_stand_against_a_repeat() -> None:
    asked = Asked(Response(b"", 201), log=LateLog())
    with pytest.raises(ServiceError):
        await asked.ask()
    assert (await asked.ask()).status_code == 201
    assert asked.carried_out == 1


async def test_whoever_waited_for_a_request_is_not_told_the_answer_to_another_under_the_same_key() -> None:
    class Swapped(Log):
        """While one waits, the first request is released and another one carried out."""

        async def settled(self, digest: str, _timeout_s: float) -> None:
            self.kept[digest] = RequestRecord(state=RequestState.DONE, claim="c2", fingerprint="other", status=202)

    log = Swapped()
    log.kept["d"] = RequestRecord(state=RequestState.CLAIMED, claim="c1", fingerprint="f")
    with pytest.raises(ProblemError) as raised:
        await Asked(Response(b"", 201), log=log).ask()
    assert raised.value.code == "idempotency_key_reused"
