"""What was published beside what SQL expects, in one database.

Rule: the expectation is `expected.sql` over the orders and where they stand in the log. The product is not asked.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tests.oracle.workspace import Record
from tests.services.cdnow.history import Order, Placed

EXPECTED_SQL = (Path(__file__).parent / "expected.sql").read_text(encoding="utf-8")
TABLES = """
CREATE TABLE placed (line INT, contact_id TEXT, instant BIGINT, partition INT, record BIGINT);
CREATE TABLE orders (line INT, contact_id TEXT, day BIGINT, cents INT);
CREATE TABLE found (
    contact_id TEXT, place INT, segment_id TEXT, change TEXT, instant BIGINT, record BIGINT,
    cause TEXT, partition INT, number INT, of_number INT
);
"""
TIES = """
SELECT count(*) FROM expected JOIN placed USING (contact_id, instant) WHERE cause = 'time'
"""
Row = tuple[object, ...]


@dataclass(frozen=True)
class Comparison:
    """What is expected and was not found, what was found and is not expected, and how many changes of each kind.

    `ties` counts the deadlines that fall on the very instant of an order of the same contact.
    """

    missing: list[Row]
    extra: list[Row]
    counts: dict[tuple[str, str, str], int]
    ties: int


def compare(orders: Iterable[Order], placed: Iterable[Placed], found: Iterable[Record], directory: Path) -> Comparison:
    """Compare every change: contact, order of events, segment, kind, instant, causing record, cause and numbering."""
    database = duckdb.connect()
    database.execute(TABLES)
    _fill(database, "orders", ((each.line, each.contact_id, each.day, each.cents) for each in orders), directory)
    _fill(database, "placed", placed, directory)
    _fill(database, "found", _changes(found), directory)
    database.execute(f"CREATE TABLE expected AS {EXPECTED_SQL}")
    missing = database.sql("FROM expected EXCEPT ALL FROM found ORDER BY ALL").fetchall()
    extra = database.sql("FROM found EXCEPT ALL FROM expected ORDER BY ALL").fetchall()
    counted = database.sql("SELECT segment_id, change, cause, count(*) FROM expected GROUP BY ALL").fetchall()
    ties = database.sql(TIES).fetchall()[0][0]
    return Comparison(
        missing, extra, {(segment, change, cause): count for segment, change, cause, count in counted}, ties
    )


def _fill(database: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Row], directory: Path) -> None:
    """Load rows through a file, which is far faster than one insert a row."""
    file = directory / f"{table}.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows(rows)
    database.execute(f"COPY {table} FROM '{file}' (FORMAT csv, HEADER false)")


def _changes(found: Iterable[Record]) -> Iterator[Row]:
    places: dict[str, int] = {}
    for record in found:
        assert record.value is not None, f"{record.key!r} is a tombstone, but nothing was deleted"
        body = json.loads(record.value)
        contact_id, cause = body["contact_id"], body["cause"]
        place = places[contact_id] = places.get(contact_id, 0) + 1
        change = (body["segment_id"], body["change"], body["at"], body["offset"])
        yield (contact_id, place, *change, cause["kind"], cause["partition"], cause["index"], cause["count"])
