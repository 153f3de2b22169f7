"""The orders, and what is known of each contact after some of them.

Rule: what a contact is after n orders is a function of the file, the moved dates and nothing else, so a repeated
import or a repeated order changes nothing. Reads a file; talks to nobody.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "orders.csv.gz"
LAST_DAY: Final = date(1998, 6, 30)
LIVE_DAYS: Final = 30
"""The orders of the last days are not imported; they are streamed."""
DAY_S: Final = 86_400
STEP_S: Final = 7_919
"""A prime: successive orders of a day get times of day spread over the whole of it."""
TYPES: Final = {
    "first_order_at": "instant",
    "last_order_at": "instant",
    "orders": "number",
    "total_spent": "number",
    "last_amount": "number",
    "repeat_flag": "boolean",
}
COLUMNS: Final = ("contact_id", *TYPES)


@dataclass(frozen=True, slots=True)
class Order:
    """One order. Units: `amount` US dollars; `at` with the moved date."""

    contact_id: str
    at: datetime
    amount: float


@dataclass(frozen=True, slots=True)
class Buyer:
    """What is known of a contact after some orders."""

    contact_id: str
    first_order_at: datetime
    last_order_at: datetime
    orders: int
    total_spent: float
    last_amount: float

    def after(self, order: Order, at: datetime) -> Buyer:
        """The same contact after one more order."""
        return replace(
            self,
            last_order_at=at,
            orders=self.orders + 1,
            total_spent=round(self.total_spent + order.amount, 2),
            last_amount=order.amount,
        )

    def attributes(self) -> dict[str, Any]:
        """As attributes of a contact."""
        return {
            "first_order_at": self.first_order_at.isoformat(),
            "last_order_at": self.last_order_at.isoformat(),
            "orders": self.orders,
            "total_spent": self.total_spent,
            "last_amount": self.last_amount,
            "repeat_flag": self.orders > 1,
        }


def read_orders(today: date, file: Path = FILE) -> list[Order]:
    """All orders by date, moved so that the last one is today. Within a day they keep the order of the file."""
    moved = today - LAST_DAY
    orders = []
    with gzip.open(file, "rt", encoding="utf-8", newline="") as opened:
        for row_number, row in enumerate(csv.DictReader(opened)):
            day = date.fromisoformat(row["date"]) + moved
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            at = midnight + timedelta(seconds=row_number * STEP_S % DAY_S)
            orders.append(Order(row["contact_id"], at, float(row["amount"])))
    orders.sort(key=lambda order: order.at.date())
    return orders


def split(orders: Sequence[Order], today: date) -> tuple[list[Order], list[Order]]:
    """The orders to import, and those of the last `LIVE_DAYS` days to stream."""
    first_live_day = today - timedelta(days=LIVE_DAYS - 1)
    imported = [order for order in orders if order.at.date() < first_live_day]
    return imported, list(orders[len(imported) :])


def buyers_after(orders: Iterable[Order]) -> dict[str, Buyer]:
    """Every contact after these orders."""
    buyers: dict[str, Buyer] = {}
    for order in orders:
        known = buyers.get(order.contact_id)
        buyers[order.contact_id] = (
            Buyer(order.contact_id, order.at, order.at, 1, order.amount, order.amount)
            if known is None
            else known.after(order, max(order.at, known.last_order_at))
        )
    return buyers


def as_csv(buyers: Iterable[Buyer]) -> bytes:
    """The contacts as a CSV file with a header."""
    written = io.StringIO()
    table = csv.DictWriter(written, COLUMNS)
    table.writeheader()
    for buyer in buyers:
        cells = {"contact_id": buyer.contact_id, **buyer.attributes()}
        table.writerow({**cells, "repeat_flag": str(cells["repeat_flag"]).lower()})
    return written.getvalue().encode()
