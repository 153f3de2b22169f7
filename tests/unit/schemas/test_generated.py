"""What is generated from the models is what stands in the tree, and says what the models do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml

import schemas
from schemas.catalogue import CHANNELS
from schemas.contact_change import ContactChangeRecord
from schemas.generate import HERE, asyncapi, documents, file_name
from schemas.record import Record
from schemas.topics import Topic


def test_the_generated_files_are_up_to_date() -> None:
    stale = [str(path) for path, content in documents().items() if (HERE / path).read_text() != content]
    assert stale == [], "run `python -m schemas.generate`"


def test_no_schema_is_left_of_a_record_that_is_gone() -> None:
    generated = {HERE / path for path in documents()}
    assert {path for path in (HERE / "json").iterdir() if path.suffix == ".json"} <= generated


def test_every_topic_has_a_channel_and_every_record_a_topic() -> None:
    assert set(CHANNELS) == set(Topic)
    models = {message.model for channel in CHANNELS.values() for message in channel.messages}
    listed = {model.__name__ for model in models}
    parts = {part for model in models for part in model.model_json_schema().get("$defs", {})} - listed
    assert {model.__name__ for model in Record.__subclasses__()} - parts == listed


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load((Path(schemas.__file__ or "").parent / "asyncapi.yaml").read_text())
    assert document == asyncapi()
    references = list(_references(document))
    assert len(references) > 20
    for reference in references:
        if reference.startswith("./"):
            assert (HERE / reference).is_file(), reference
        else:
            node = document
            for step in reference.removeprefix("#/").split("/"):
                node = node[step]


@pytest.mark.parametrize(
    ("record", "valid"),
    [
        ({"attributes": {"plan": "pro", "phone": None, "tags": ["a", 1]}}, True),
        ({"type": "delete"}, True),
        ({"attributes": {"a": {"b": 1}}}, False),
        ({"attributes": {"": 1}}, False),
        ({"type": "merge", "attributes": {}}, False),
    ],
)
def test_the_published_schema_refuses_what_the_model_refuses(record: dict[str, Any], valid: bool) -> None:
    schema = orjson.loads((HERE / "json" / f"{file_name(ContactChangeRecord)}.json").read_bytes())
    assert jsonschema.Draft202012Validator(schema).is_valid(record) is valid


def _references(node: object) -> Any:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
