"""`GET /attributes`: which attributes contacts have, from a sample of them in every partition.

Rule: says how many contacts it looked at; it names what there is to write conditions about, and is never a count over
all contacts. The sample is bounded, whatever the number of contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends

from services.console.owners import Owners

SAMPLED_PER_PARTITION_MAX: Final = 50
VALUES_SHOWN_MAX: Final = 8
VALUE_CHARACTERS_MAX: Final = 100


def attributes_router(owners: Owners, partitions: int, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in."""
    router = APIRouter(dependencies=[Depends(admit)])

    @router.get("/attributes")
    async def attributes() -> dict[str, Any]:
        """Attribute names by frequency in the sample, each with the types and some values it has there."""
        samples = await asyncio.gather(*(_sample(owners, partition) for partition in range(partitions)))
        contacts = [contact for sample in samples for contact in sample]
        return {"attributes": summarize(contacts), "contacts_sampled": len(contacts)}

    return router


async def _sample(owners: Owners, partition: int) -> list[Mapping[str, Any]]:
    params = {"partition": partition, "limit": SAMPLED_PER_PARTITION_MAX}
    page = await owners.ask(partition, "GET", "/contacts", params=params)
    if not page["contacts"]:
        return []
    body = {"partition": partition, "contact_ids": page["contacts"]}
    read = await owners.ask(partition, "POST", "/attributes", body=body)
    return list(read["contacts"].values())


def summarize(contacts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each attribute once, the commonest first, then by name."""
    seen: dict[str, dict[str, Any]] = {}
    for attributes in contacts:
        for name, value in attributes.items():
            entry = seen.setdefault(name, {"name": name, "contacts": 0, "types": [], "values": []})
            entry["contacts"] += 1
            kind = _kind(value)
            if kind not in entry["types"]:
                entry["types"].append(kind)
            for shown in value if isinstance(value, list) else [value]:
                is_short = len(str(shown)) <= VALUE_CHARACTERS_MAX
                if len(entry["values"]) < VALUES_SHOWN_MAX and is_short and shown not in entry["values"]:
                    entry["values"].append(shown)
    return sorted(seen.values(), key=lambda entry: (-entry["contacts"], entry["name"]))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "text"
