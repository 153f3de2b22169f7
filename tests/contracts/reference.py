"""The pages of `docs/reference`, written from the contracts.

Rule: nothing stands here that the schemas, the AsyncAPI document or the OpenAPI documents do not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from schemas.catalogue import CHANNELS, Channel
from schemas.topics import DAY_MS, SPECS, Partitioning, Topic

Json = Mapping[str, Any]

NOTE: Final = "<!-- Written by `make schemas` from the contracts; change those instead. -->\n"
API: Final = "/api/v2"
TITLES: Final = {
    "ingest": "HTTP API: writing (ingest, port 8080)",
    "console": "HTTP API: reading (console, port 8081)",
    "webhooks": "HTTP API: webhooks (port 8083, and through the console)",
}
METHODS: Final = ("get", "post", "put", "patch", "delete")


def topics_page(records: Mapping[str, Json]) -> str:
    """Every topic, who meets on it and how the broker keeps it."""
    lines = [NOTE, "# Topics\n"]
    lines.append(
        "Every name follows the workspace's prefix (`TIDEGATE_TOPIC_PREFIX`, empty by default). Values are JSON,\n"
        "instants integer epoch milliseconds, UTC. The same as a machine reads it: `schemas/asyncapi.yaml`.\n"
    )
    for topic, channel in CHANNELS.items():
        lines += _topic(topic, channel)
    lines.append("# Records\n")
    for name, schema in records.items():
        lines += _schema(schema["title"], schema, note=f"JSON Schema: `schemas/json/{name}.json`.")
    return _text(lines)


def _topic(topic: Topic, channel: Channel) -> Iterator[str]:
    spec = SPECS[topic]
    count = "as many as the workspace has" if spec.partitioning is Partitioning.BY_CONTACT else "1"
    yield f"## `{topic.value}`\n"
    yield f"{spec.purpose}\n"
    yield from _table(
        ("", ""),
        [
            ("Key", spec.key),
            ("Partitions", count),
            ("Cleanup", spec.cleanup.value),
            ("Settings", ", ".join(f"`{name}={_shown_setting(name, value)}`" for name, value in spec.settings.items())),
            ("Written by", ", ".join(party.value for party in channel.written_by)),
            ("Read by", ", ".join(party.value for party in channel.read_by)),
        ],
    )
    rows = []
    for message in channel.messages:
        name = message.model.__name__
        kind = f"`ce_type: {message.event_type}`" if message.event_type else ""
        rows.append((f"[{name}](#{name.lower()})", kind, message.key or "none", message.tombstone or ""))
    yield from _table(("Record", "Header", "Key", "Without a value"), rows)


def _shown_setting(name: str, value: str) -> str:
    days, rest = divmod(int(value), DAY_MS) if name.endswith(".ms") and value.lstrip("-").isdecimal() else (0, 1)
    return f"{value} ({days} d)" if days > 0 and rest == 0 else value


def api_page(service: str, document: Json) -> str:
    """Every operation of one service, and what it takes and answers."""
    lines = [NOTE, f"# {TITLES[service]}\n", f"{document['info']['description']}\n"]
    lines.append(
        f"Below `{API}`. The same as a machine reads it: `schemas/openapi/{service}.json`. Every operation with a\n"
        "scope needs `Authorization: Bearer tg_…` of a key that has it.\n"
    )
    paths = document["paths"]
    for path in sorted(paths):
        for method in METHODS:
            if method in paths[path]:
                lines += _operation(method, path, paths[path][method], document)
    lines.append("# Schemas\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _schema(name, schema)
    return _text(lines)


def _operation(method: str, path: str, operation: Json, document: Json) -> Iterator[str]:
    yield f"## {method.upper()} `{path.removeprefix(API)}`\n"
    yield f"{operation.get('description', operation.get('summary', ''))}\n"
    scopes = [scope for requirement in operation.get("security", []) for each in requirement.values() for scope in each]
    scope = f"Scope `{scopes[0]}`." if scopes else "Any key." if operation.get("security") else "No key."
    yield f"{scope}\n"
    parameters = operation.get("parameters", [])
    if parameters:
        yield from _table(
            ("Parameter", "In", "Type", ""),
            [
                (
                    f"`{one['name']}`{' (required)' if one.get('required') and one['in'] != 'path' else ''}",
                    one["in"],
                    _type(one["schema"]),
                    _limits(one["schema"], one.get("description", "")),
                )
                for one in parameters
            ],
        )
    if "requestBody" in operation:
        kinds = (
            f"`{kind}`: {_type(media.get('schema', {}))}" for kind, media in operation["requestBody"]["content"].items()
        )
        yield f"Body{'' if operation['requestBody'].get('required') else ' (optional)'}: {'; '.join(kinds)}\n"
    yield from _table(
        ("Answer", "", "Holds"),
        [
            (status, answer.get("description", ""), _held(answer))
            for status, answer in sorted(operation["responses"].items())
        ],
    )


def _held(answer: Json) -> str:
    return "; ".join(
        _type(media.get("schema", {})) if "problem" not in kind else "[Problem](#problem)"
        for kind, media in answer.get("content", {}).items()
    )


def _schema(name: str, schema: Json, note: str = "") -> Iterator[str]:
    """One schema, and with a record those that only it refers to."""
    yield f"## {name}\n"
    yield "\n".join(part for part in (schema.get("description", ""), note) if part) + "\n"
    yield from _fields(schema)
    for part, definition in sorted(schema.get("$defs", {}).items()):
        yield f"**{part}.** {definition.get('description', '')}\n"
        yield from _fields(definition)


def _fields(schema: Json) -> Iterator[str]:
    parts = [schema, *schema.get("allOf", [])]
    rows = [
        (
            f"`{name}`",
            _type(field),
            "yes" if any(name in each.get("required", []) for each in parts) else "",
            _limits(field, field.get("description", "")),
        )
        for part in parts
        for name, field in part.get("properties", {}).items()
    ]
    others = [part["$ref"].rsplit("/", 1)[1] for part in parts if "$ref" in part]
    if others:
        yield f"With the fields of {', '.join(f'[{name}](#{name.lower()})' for name in others)}.\n"
    if rows:
        yield from _table(("Field", "Type", "Required", ""), rows)
    elif "enum" in schema:
        yield f"{_type(schema)}\n"


def _type(schema: Any) -> str:
    """A schema's type in a word or two."""
    if not isinstance(schema, Mapping) or not schema:
        return "anything"
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[1]
        return name if "/$defs/" in schema["$ref"] else f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{'null' if value is None else value}`" for value in schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return _either(_type(part) for part in schema[union])
    kinds = schema.get("type", "anything")
    return _either(_one_type(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _one_type(kind: str, schema: Json) -> str:
    if kind == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    if kind == "string" and schema.get("format") == "date-time":
        return "instant"
    return {"string": "text", "array": "list"}.get(kind, kind)


def _either(parts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(parts))


def _limits(schema: Any, description: str) -> str:
    """A field's description, with its bounds and default."""
    told = [description.strip()] if description else []
    for part in [schema, *schema.get("anyOf", [])] if isinstance(schema, Mapping) else []:
        for name, words in (
            ("minimum", "at least"), ("maximum", "at most"), ("minLength", "characters at least"),
            ("maxLength", "characters at most"), ("maxItems", "elements at most"), ("pattern", "pattern"),
        ):  # fmt: skip
            if name in part:
                told.append(f"{words} `{part[name]}`" if name == "pattern" else f"{words} {part[name]:,}")
    if isinstance(schema, Mapping) and schema.get("default") is not None:
        told.append(f"default `{schema['default']}`")
    return "; ".join(told)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [headers, ["---"] * len(headers), *rows]
    yield "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
