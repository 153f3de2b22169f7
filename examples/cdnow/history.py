"""The shop's orders as a history of changes, with the dates that they had: what `tidegate backtest` reads.

`python -m examples.cdnow.history > history.csv`. One row is one order: what is known of its contact right after it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import Final, TextIO

from examples.cdnow.orders import COLUMNS, LAST_DAY, Buyer, read_orders

TIME: Final = "at"


def rows() -> Iterator[dict[str, object]]:
    """Every order in the order of time."""
    buyers: dict[str, Buyer] = {}
    for order in sorted(read_orders(LAST_DAY), key=lambda order: order.at):
        known = buyers.get(order.contact_id)
        buyer = buyers[order.contact_id] = (
            Buyer(order.contact_id, order.at, order.at, 1, order.amount, order.amount)
            if known is None
            else known.after(order, order.at)
        )
        cells = {TIME: order.at.isoformat(), "contact_id": order.contact_id, **buyer.attributes()}
        yield {**cells, "repeat_flag": str(buyer.orders > 1).lower()}


def write(opened: TextIO) -> None:
    """Write the history as CSV with a header."""
    table = csv.DictWriter(opened, (TIME, *COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(rows())


if __name__ == "__main__":
    write(sys.stdout)
