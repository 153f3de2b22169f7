"""A stock Faust agent with a table, as its documentation would have it: `python -m bench.e2e.stock_faust PLAN`.

Prints one line of JSON when it has seen the whole input. Rule: nothing of our data path is used here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any

import faust
import orjson

from bench.e2e.naive import Naive
from schemas.events import SEGMENT_DEFINED_HEADERS, TYPE_HEADER

STANDARD_OUTPUT = 1
DEFINED = dict(SEGMENT_DEFINED_HEADERS)[TYPE_HEADER]
PLAN: dict[str, Any] = json.loads(sys.argv[-1])


def create_app() -> faust.App:
    """The app: one agent, one table, one output topic."""
    app = faust.App(
        f"{PLAN['output']}-app",
        broker=f"kafka://{PLAN['broker']}",
        datadir=PLAN["directory"],
        store="memory://",
        web_enabled=False,
        topic_partitions=PLAN["partitions"],
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    raw = partial(app.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    source, output = raw(PLAN["input"]), raw(PLAN["output"])
    table = app.Table("contacts", default=dict, partitions=PLAN["partitions"], key_type=str)
    naive = Naive()
    progress = {"done": 0, "began": 0.0}

    @app.agent(source)
    async def evaluate(stream: Any) -> None:
        async for event in stream.events():
            headers = dict(event.headers or {})
            if headers.get(TYPE_HEADER) == DEFINED:
                naive.define(event.value)
            else:
                await take(event)
            progress["done"] += 1
            if progress["done"] == PLAN["warm"]:
                progress["began"] = time.perf_counter()
            if progress["done"] == PLAN["total"]:
                await finish()

    async def take(event: Any) -> None:
        key = event.key.decode()
        row = table[key]
        attributes, members = row.get("attributes", {}), set(row.get("members", ()))
        now = int(event.message.timestamp * 1_000)
        flips = naive.write(attributes, members, orjson.loads(event.value)["attributes"], now)
        table[key] = {"attributes": attributes, "members": sorted(members)}
        for segment_id, member in flips:
            body = orjson.dumps({"segment_id": segment_id, "member": member})
            await output.send(key=segment_id.encode() + b"|" + event.key, value=body)

    async def finish() -> None:
        await app.producer.flush()
        took = time.perf_counter() - progress["began"]
        rate = (PLAN["total"] - PLAN["warm"]) / took
        # Faust has put its log in place of standard output.
        os.write(STANDARD_OUTPUT, json.dumps({"rate_per_s": rate}).encode() + b"\n")
        os._exit(0)

    return app


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel=ERROR", "--without-web"]
    create_app().main()
