"""Which changes of the contracts break somebody who was written for the released ones.

Rule: what others write must go on being accepted, what others read must go on being what they know; a field may be
added, never taken away, renamed or given another meaning. Whoever must break a contract releases a new version of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from tests.contracts.narrowing import Comparison, Removed, Rooted

Json = dict[str, Any]


class Side(StrEnum):
    """Who stands on the other side of a contract."""

    WRITES = "others write it, we read it"
    READS = "we write it, others read it"


READ_BY_OTHERS: Final = frozenset({"membership_change_record", "dead_letter_headers"})
"""Every other record is read by a newer version of ourselves: what is kept in a topic must go on being read."""
SUCCESS: Final = "2"


def schema_breaks(old: Json, new: Json, side: Side) -> list[str]:
    """What breaks between two schemas. Shape: `/path: reason`, sorted."""
    return sorted(_breaks(Rooted(old, old), Rooted(new, new), side))


def record_breaks(old: dict[str, Json], new: dict[str, Json]) -> list[str]:
    """What breaks between two sets of record schemas, by name."""
    found = [f"{name}: the record is gone" for name in old.keys() - new.keys()]
    for name in old.keys() & new.keys():
        side = Side.READS if name in READ_BY_OTHERS else Side.WRITES
        found += [f"{name}{reason}" for reason in schema_breaks(old[name], new[name], side)]
    return sorted(found)


def topic_breaks(old: Json, new: Json) -> list[str]:
    """What breaks between two AsyncAPI documents, beyond their records."""
    found = []
    for name, channel in old["channels"].items():
        other = new["channels"].get(name)
        if other is None:
            found.append(f"{name}: the topic is gone")
            continue
        for what, before, after in (
            ("name", channel["address"], other["address"]),
            ("partitioning", channel["x-partitioned"], other["x-partitioned"]),
            ("cleanup", _cleanup(channel), _cleanup(other)),
        ):
            if before != after:
                found.append(f"{name}: its {what} was {before}, and is {after}")
        found += [f"{name}: {message} is gone" for message in channel["messages"].keys() - other["messages"].keys()]
    messages, others = old["components"]["messages"], new["components"]["messages"]
    for name in messages.keys() & others.keys():
        for part in ("headers", "bindings"):
            before, after = messages[name].get(part), others[name].get(part)
            if before is not None and after is None:
                found.append(f"{name}: its {part} are gone")
            elif part == "headers" and before != after and "properties" in (before or {}):
                found += [f"{name}: header{reason}" for reason in schema_breaks(before, after, Side.READS)]
            elif part == "bindings" and before != after:
                found.append(f"{name}: its key was {before['kafka']['key']}, and is {after['kafka']['key']}")
    return sorted(found)


def api_breaks(old: Json, new: Json) -> list[str]:
    """What breaks between two OpenAPI documents."""
    found: list[str] = []
    for path, item in old["paths"].items():
        for method, operation in item.items():
            other = new["paths"].get(path, {}).get(method)
            name = f"{method.upper()} {path}"
            if other is None:
                found.append(f"{name}: is gone")
            else:
                found += [f"{name}: {reason}" for reason in _operation(operation, other, old, new)]
    return sorted(found)


def _breaks(old: Rooted, new: Rooted, side: Side) -> Iterator[str]:
    if side is Side.WRITES:
        yield from Comparison(_gone(in_narrow=True)).not_allowed(old, new)
    else:
        yield from Comparison(_gone(in_narrow=False)).not_allowed(new, old)


def _gone(*, in_narrow: bool) -> Removed:
    """The old schema is the narrower one where others write, the wider where they read: what only it has is gone."""

    def removed(path: str, only_in_narrow: bool) -> str | None:
        return f"{path}: is gone" if only_in_narrow is in_narrow else None

    return removed


def _operation(old: Json, new: Json, old_root: Json, new_root: Json) -> Iterator[str]:
    if old.get("security") != new.get("security"):
        yield f"the scope was {_scopes(old)}, and is {_scopes(new)}"
    yield from _parameters(old, new, old_root, new_root)
    yield from _body(old.get("requestBody"), new.get("requestBody"), old_root, new_root)
    successes = {status for status in old["responses"] if status.startswith(SUCCESS)}
    for status in sorted(successes ^ {status for status in new["responses"] if status.startswith(SUCCESS)}):
        yield f"the answer {status} is {'gone' if status in successes else 'new'}"
    for status in sorted(old["responses"].keys() & new["responses"].keys()):
        before, after = (each["responses"][status].get("content", {}) for each in (old, new))
        for kind, media in before.items():
            if kind not in after:
                yield f"the answer {status} is no longer {kind}"
            else:
                pair = Rooted(media.get("schema", True), old_root), Rooted(after[kind].get("schema", True), new_root)
                yield from (f"answer {status} {reason}" for reason in _breaks(*pair, Side.READS))


def _parameters(old: Json, new: Json, old_root: Json, new_root: Json) -> Iterator[str]:
    before, after = (
        {(one["in"], one["name"]): one for one in operation.get("parameters", [])} for operation in (old, new)
    )
    for place, parameter in after.items():
        if parameter.get("required") and not before.get(place, {}).get("required"):
            yield f"{' '.join(place)}: is required now"
    for place, parameter in before.items():
        if place not in after:
            yield f"{' '.join(place)}: is gone"
            continue
        pair = Rooted(parameter["schema"], old_root), Rooted(after[place]["schema"], new_root)
        yield from (f"{' '.join(place)} {reason}" for reason in _breaks(*pair, Side.WRITES))


def _body(old: Json | None, new: Json | None, old_root: Json, new_root: Json) -> Iterator[str]:
    if new is not None and new.get("required") and not (old or {}).get("required"):
        yield "a body is required now"
    if old is None:
        return
    if new is None:
        yield "the body is gone"
        return
    for kind, media in old["content"].items():
        if kind not in new["content"]:
            yield f"a body is no longer taken as {kind}"
            continue
        pair = Rooted(media.get("schema", True), old_root), Rooted(new["content"][kind].get("schema", True), new_root)
        yield from (f"body {reason}" for reason in _breaks(*pair, Side.WRITES))


def _scopes(operation: Json) -> list[str]:
    return [
        scope for requirement in operation.get("security", []) for scopes in requirement.values() for scope in scopes
    ]


def _cleanup(channel: Json) -> list[str]:
    policy: list[str] = channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
    return policy
