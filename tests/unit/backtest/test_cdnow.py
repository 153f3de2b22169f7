"""The backtest of a real shop's orders: every change is the one that SQL over the orders gives."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path

import duckdb
import orjson
import pytest
from typer.testing import CliRunner

from examples.cdnow import history as example
from tests.services.cdnow.comparison import EXPECTED_SQL, TABLES
from tidegate.cli import main

ROOT = Path(__file__).parents[3]
ORDERS = ROOT / "examples" / "cdnow" / "orders.csv.gz"
SEGMENTS = ROOT / "examples" / "cdnow" / "backtest-segments.txt"
UNTIL = "1998-07-01"
# The example gives the n-th order of the file a time of day; written here once more, from its description.
PLACED_SQL = f"""
CREATE TABLE file AS
SELECT row_number() OVER () - 1 AS line, contact_id, epoch_ms(date) + line * 7919 % 86400 * 1000 AS instant,
    round(amount * 100)::INT AS cents
FROM read_csv('{ORDERS}', header = true, parallel = false,
    columns = {{'contact_id': 'TEXT', 'date': 'DATE', 'quantity': 'INT', 'amount': 'DECIMAL(9, 2)'}});
INSERT INTO placed
SELECT line, contact_id, instant, 0, row_number() OVER (ORDER BY instant, line) FROM file;
INSERT INTO orders SELECT line, contact_id, instant, cents FROM file;
"""  # noqa: S608 - a path of our own
WANTED_SQL = """
CREATE TABLE wanted AS SELECT segment_id, contact_id, change, instant, cause, record FROM changes WHERE instant <= ?
"""
GOT_SQL = """
CREATE TABLE got AS SELECT segment_id, contact_id, change, epoch_ms("at"), cause, coalesce("row", -1)
FROM read_csv(?, header = true, columns = {'at': 'TIMESTAMP', 'segment_id': 'TEXT', 'contact_id': 'TEXT',
    'change': 'TEXT', 'cause': 'TEXT', 'row': 'BIGINT'})
"""
DIFFERENCE_SQL = """
(FROM {left} EXCEPT ALL FROM {right}) ORDER BY ALL LIMIT 3
"""


@pytest.mark.timeout(180)
def test_the_backtest_of_real_orders_is_what_sql_over_the_orders_gives(tmp_path: Path) -> None:
    history, changes, picture = tmp_path / "history.csv", tmp_path / "changes.csv", tmp_path / "picture.svg"
    with history.open("w") as opened:
        example.write(opened)
    arguments = ["--segment", f"@{SEGMENTS}", "--until", UNTIL, "--changes", changes, "--chart", picture, "--json"]
    result = CliRunner().invoke(main.app, ["backtest", str(history), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    told = orjson.loads(result.stdout)
    assert (told["rows"], told["contacts"]) == (69_659, 23_570)

    database = duckdb.connect()
    database.execute(TABLES)
    database.execute(PLACED_SQL)
    database.execute(f"CREATE TABLE changes AS {EXPECTED_SQL}")
    database.execute(WANTED_SQL, [until_ms()])
    database.execute(GOT_SQL, [str(changes)])
    assert database.sql(DIFFERENCE_SQL.format(left="wanted", right="got")).fetchall() == []
    assert database.sql(DIFFERENCE_SQL.format(left="got", right="wanted")).fetchall() == []
    counted = database.sql(
        """SELECT segment_id, count(*) FILTER (change = 'enter'), count(*) FILTER (change = 'exit'),
        count(DISTINCT contact_id) FROM wanted GROUP BY ALL"""
    ).fetchall()
    shown = {(one["id"], one["enters"], one["exits"], one["contacts"]) for one in told["segments"]}
    assert shown == set(counted)
    assert len(counted) == 4
    for segment_id, enters, exits, contacts in sorted(counted):
        sys.stdout.write(f"{segment_id}: {enters} enters, {exits} exits, {contacts} contacts, as SQL has them\n")
    committed = ROOT / "docs" / "backtest-cdnow.svg"
    assert picture.read_text() == committed.read_text(), f"draw {committed.name} again, as docs/backtest.md says"


def until_ms() -> int:
    return int(datetime.fromisoformat(f"{date.fromisoformat(UNTIL)}T00:00:00+00:00").timestamp() * 1_000)
