"""`GET /attributes`: which attributes contacts have, from a sample in every partition, and what is said of them.

Rule: says how many contacts it looked at; types and values are those of the bounded sample, never of all contacts. Only
the unreadable values are exact: those that conditions of active segments ask for and cannot read, over all contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends

from segmentation.attributes import AttributeDeclaration
from segmentation.model import AttributeName
from services.console.declarations import Declarations
from services.console.owners import Owners

SAMPLED_PER_PARTITION_MAX: Final = 50
NOTHING_DECLARED: Final = AttributeDeclaration()
VALUES_SHOWN_MAX: Final = 8
VALUE_CHARACTERS_MAX: Final = 100


def attributes_router(owners: Owners, partitions: int, declarations: Declarations, admit: Any) -> APIRouter:
    """The route, for readers that `admit` lets in."""
    router = APIRouter(dependencies=[Depends(admit)])

    @router.get("/attributes")
    async def attributes() -> dict[str, Any]:
        """Attribute names by frequency in the sample, with types, values, declaration and unreadable values."""
        samples, unread = await asyncio.gather(
            asyncio.gather(*(_sample(owners, partition) for partition in range(partitions))),
            owners.of_all("GET", "/unreadable"),
        )
        contacts = [contact for sample in samples for contact in sample]
        entries = {entry["name"]: entry for entry in summarize(contacts)}
        unreadable = _unreadable(reading for part in unread for reading in part["readings"])
        for name in sorted({*declarations.known, *unreadable} - entries.keys()):
            entries[name] = _entry(name)
        catalogue = declarations.catalogue()
        for name, entry in entries.items():
            declared = declarations.known.get(AttributeName(name), NOTHING_DECLARED)
            entry["type"] = declared.type
            entry["direction"] = catalogue.direction_of(AttributeName(name))
            entry["direction_declared"] = declared.direction is not None
            entry["unreadable"] = unreadable.get(name, [])
        return {"attributes": list(entries.values()), "contacts_sampled": len(contacts)}

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
            entry = seen.setdefault(name, _entry(name))
            entry["contacts"] += 1
            kind = _kind(value)
            if kind not in entry["types"]:
                entry["types"].append(kind)
            for shown in value if isinstance(value, list) else [value]:
                is_short = len(str(shown)) <= VALUE_CHARACTERS_MAX
                if len(entry["values"]) < VALUES_SHOWN_MAX and is_short and shown not in entry["values"]:
                    entry["values"].append(shown)
    return sorted(seen.values(), key=lambda entry: (-entry["contacts"], entry["name"]))


def _entry(name: str) -> dict[str, Any]:
    return {"name": name, "contacts": 0, "types": [], "values": []}


def _unreadable(readings: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By attribute, each reading once over all partitions; readings that read everything are left out."""
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for reading in readings:
        nothing = {"reading": reading["reading"], "contacts": 0, "sample": None, "settling": False}
        total = totals.setdefault((reading["attribute"], reading["reading"]), nothing)
        total["contacts"] += reading["contacts"]
        total["sample"] = reading["sample"] if total["sample"] is None else total["sample"]
        total["settling"] |= reading["settling"]
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, _), total in sorted(totals.items()):
        if total["contacts"]:
            found.setdefault(name, []).append(total)
    return found


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "text"
