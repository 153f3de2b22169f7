"""What the demo says of its orders: what is true at this start, once. The service is played by hand."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.cdnow import demo
from examples.cdnow.orders import Order
from examples.cdnow.segments import SEGMENTS
from tests.waiting import until
from tidegate import TidegateError
from tidegate.responses import Segment

LIVE = 3
WAIT_S = 30.0
STREAM = "Orders stream in"
ALL = "All orders have been streamed"


class Service:
    """A stack that has the contacts and the segments already; it keeps which contacts were written."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.settling = False

    def __call__(self, url: str, *, key: str) -> Service:
        return self

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def contact(self, contact_id: str) -> None:
        return None

    async def segments(self) -> list[Segment]:
        told = {"version": 1, "members": 0, "settling": self.settling}
        return [Segment.model_validate({"id": definition.id, **told}) for definition in SEGMENTS]

    async def set_contacts(self, contacts: Sequence[Mapping[str, Any]]) -> None:
        return None

    async def set_contact(self, contact_id: str, attributes: Mapping[str, Any]) -> None:
        self.written.append(contact_id)

    async def events(self, *, last_id: str | None) -> AsyncGenerator[Any]:
        await asyncio.Event().wait()
        yield None


def orders(today: date) -> list[Order]:
    at = datetime(today.year, today.month, today.day, tzinfo=UTC)
    return [Order("u", at - timedelta(days=90), 1.0), *(Order("u", at, 1.0) for _ in range(LIVE))]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    for name, value in {"Tidegate": made, "read_orders": orders, "RECONNECT_S": 0.0, "ORDERS_PER_S": 1_000}.items():
        monkeypatch.setattr(demo, name, value)
    return made


async def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the demo says up to the end of its orders."""
    shown: list[str] = []

    def heard() -> str:
        shown.append(capsys.readouterr().out)
        return "".join(shown)

    running = asyncio.create_task(demo._demo("http://stack", "tg_k", folder))
    await until(heard, WAIT_S, "the end of the orders", satisfies=lambda text: ALL in text)
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    return heard()


async def test_a_first_start_streams_every_order_and_says_when_they_end(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = await said(tmp_path, capsys)
    assert "Orders stream in now.\n" in text
    assert (text.count(STREAM), text.count(ALL), service.written) == (1, 1, ["u"] * LIVE)


async def test_a_machine_that_is_slow_to_settle_is_not_given_up(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.settling = True
    for name, value in {"SETTLE_TIMEOUT_S": 0.05, "SETTLE_POLL_S": 0.01}.items():
        monkeypatch.setattr(demo, name, value)
    assert "the counts grow until it is done\n" in await said(tmp_path, capsys)
    assert service.written == ["u"] * LIVE


async def test_a_start_in_the_middle_says_how_many_orders_are_there_from_before(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.Progress(tmp_path).save(1)
    text = await said(tmp_path, capsys)
    assert "Orders stream in now; 1 of 3 are there from before.\n" in text
    assert (text.count(STREAM), text.count(ALL), service.written) == (1, 1, ["u"] * (LIVE - 1))


@pytest.mark.parametrize("left", [b"", b"\x00\x00", b"\xff"])
def test_a_machine_that_went_down_leaves_orders_to_be_sent_again_and_no_stack_trace(
    tmp_path: Path, left: bytes
) -> None:
    (tmp_path / demo.PROGRESS_FILE).write_bytes(left)
    assert demo.Progress(tmp_path).load() == 0


def no_room(path: Path, text: str) -> None:
    path.open("w").close()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_crash_while_progress_is_kept_leaves_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = demo.Progress(tmp_path)
    progress.save(7)
    monkeypatch.setattr(Path, "write_text", no_room)
    with pytest.raises(TidegateError, match="No space left"):
        progress.save(8)
    assert progress.load() == 7


def test_a_full_disk_ends_the_demo_with_the_reason_and_no_stack_trace(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_text", no_room)
    assert demo.run_demo("http://stack", "tg_k", str(tmp_path)) == 1
    assert (
        f"error: {tmp_path / demo.PROGRESS_FILE} cannot be written: No space left on device" in capsys.readouterr().err
    )


async def test_a_start_behind_the_last_order_promises_none(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.Progress(tmp_path).save(LIVE)
    text = await said(tmp_path, capsys)
    assert (text.count(STREAM), text.count(ALL), service.written) == (0, 1, [])
