"""The orders as an input log: eighteen months of writes and ticks with the timestamps that they had.

Rule: the contract only: JSON by hand, Kafka's partitioner as the oracle computes it. A third of the orders are placed
at midnight, where the deadlines fall, so that ties between a write and a deadline are common.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Message, Producer

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.jsonform import to_json
from segmentation.expression.parser import parse_text
from segmentation.model import ContactId
from tests.oracle.partitions import home_partition

ROOT = Path(__file__).parents[3]
FILE = ROOT / "examples" / "cdnow" / "orders.csv.gz"
DAY_MS = 86_400_000
FIRST_DAY, END_DAY = date(1997, 1, 1), date(1998, 10, 1)
"""The last deadline that an order can set falls 60 days after 1998-06-30."""
STEP_S = 7_919
SEGMENTS = {
    "repeat-buyers": "orders >= 2",
    "lapsed": "last_order_at more than 60 days ago AND orders >= 2",
    "big-and-recent": "total_spent > 200 AND last_order_at within 30 days",
    "new-buyers": "first_order_at within 7 days AND NOT repeat_flag",
}


class Order(NamedTuple):
    """One line of the file, placed in time. Units: epoch milliseconds, cents."""

    line: int
    contact_id: ContactId
    day: int
    at: int
    cents: int


class Placed(NamedTuple):
    """Where an order stands in the input log."""

    line: int
    contact_id: str
    at: int
    partition: int
    record: int


def read_orders() -> list[Order]:
    """All orders, in order of time."""
    orders = []
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as opened:
        for line, row in enumerate(csv.DictReader(opened)):
            day = _midnight_ms(date.fromisoformat(row["date"]))
            after_s = 0 if line % 3 == 0 else line * STEP_S % (DAY_MS // 1_000)
            cents = int(row["amount"].replace(".", ""))
            orders.append(Order(line, ContactId(row["contact_id"]), day, day + after_s * 1_000, cents))
    return sorted(orders, key=lambda order: (order.at, order.line))


def append_history(bootstrap: str, topic: str, partitions: int, history: list[Order]) -> list[Placed]:
    """Append definitions, then every order and a tick a day to every partition; where each order came to stand."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True})
    placed: list[Placed] = []
    failures: list[str] = []
    known: dict[ContactId, dict[str, object]] = {}
    cents: dict[ContactId, int] = {}

    def noting(order: Order) -> Callable[[object, Message], None]:
        def note(error: object, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is not None or partition is None or offset is None:
                failures.append(f"{order}: {error}")
            else:
                placed.append(Placed(order.line, order.contact_id, order.at, partition, offset))

        return note

    for partition in range(partitions):
        for at, kind, value in _definitions():
            producer.produce(topic, value, partition=partition, timestamp=at, headers={"ce_type": kind})
    for day, orders in groupby(_with_every_day(history), key=lambda each: each[0]):
        for _, order in orders:
            if order is None:
                continue
            cents[order.contact_id] = cents.get(order.contact_id, 0) + order.cents
            attributes = known[order.contact_id] = _after(known.get(order.contact_id), order, cents[order.contact_id])
            producer.produce(
                topic,
                json.dumps({"attributes": attributes}).encode(),
                order.contact_id.encode(),
                partition=home_partition(order.contact_id, partitions),
                timestamp=order.at,
                on_delivery=noting(order),
            )
            producer.poll(0)
        for partition in range(partitions):
            at = day + DAY_MS - 500
            tick = json.dumps({"scheduled_at": at, "interval_ms": 60_000}).encode()
            producer.produce(topic, tick, partition=partition, timestamp=at, headers={"ce_type": "tick"})
    left = producer.flush(60)
    assert not left, f"{left} records were never acknowledged"
    assert not failures, failures[:3]
    return placed


def _after(before: dict[str, object] | None, order: Order, cents: int) -> dict[str, object]:
    day = datetime.fromtimestamp(order.day // 1_000, UTC).date().isoformat()
    orders = 1 if before is None else int(str(before["orders"])) + 1
    return {
        "first_order_at": day if before is None else before["first_order_at"],
        "last_order_at": day,
        "orders": orders,
        "total_spent": cents / 100,
        "repeat_flag": orders > 1,
    }


def _with_every_day(orders: list[Order]) -> Iterator[tuple[int, Order | None]]:
    """The orders by day, and each day once at least."""
    by_day = {day: list(some) for day, some in groupby(orders, key=lambda order: order.day)}
    day = FIRST_DAY
    while day < END_DAY:
        midnight = _midnight_ms(day)
        yield midnight, None
        for order in by_day.get(midnight, []):
            yield midnight, order
        day += timedelta(days=1)


def _definitions() -> Iterator[tuple[int, str, bytes]]:
    at = _midnight_ms(FIRST_DAY) - DAY_MS
    for segment_id, text in SEGMENTS.items():
        expression = parse_text(text, AttributeCatalogue.empty())
        assert not isinstance(expression, Rejection), expression
        record = {
            "segment_id": segment_id,
            "version": 1,
            "replaces": 0,
            "state": "active",
            "name": segment_id,
            "where": to_json(expression),
            "text": text,
        }
        yield at, "segment.defined", json.dumps(record).encode()


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
