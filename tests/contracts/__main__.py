"""`python -m tests.contracts`: write the OpenAPI documents and the reference pages; with `--release`, the baseline too.

Rule: what it writes is never edited, and tests fail when it is out of date. `--release` is for a release: from then on
the compatibility test holds every change to what was released.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from schemas.generate import HERE as SCHEMAS
from schemas.generate import asyncapi
from schemas.generate import documents as generated
from tests.contracts.openapi import console_document, webhooks_document
from tests.contracts.openapi_ingest import ingest_document
from tests.contracts.reference import api_page, topics_page

ROOT: Final = SCHEMAS.parent
OPENAPI: Final = SCHEMAS / "openapi"
BASELINE: Final = SCHEMAS / "baseline"
REFERENCE: Final = ROOT / "docs" / "reference"

Json = dict[str, Any]


def apis() -> dict[str, Json]:
    """The OpenAPI documents, by service."""
    return {"ingest": ingest_document(), "console": console_document(), "webhooks": webhooks_document()}


def records() -> dict[str, Json]:
    """The JSON Schemas of all records, by file name."""
    return {path.stem: json.loads(content) for path, content in sorted(generated().items()) if path.suffix == ".json"}


def files(described: Mapping[str, Json]) -> dict[Path, str]:
    """Every file that is written, by its path."""
    written = {OPENAPI / f"{service}.json": _json(document) for service, document in described.items()}
    pages = {REFERENCE / f"http-{service}.md": api_page(service, document) for service, document in described.items()}
    return {**written, **pages, REFERENCE / "topics.md": topics_page(records())}


def baseline(described: Mapping[str, Json]) -> dict[Path, str]:
    """What is released, by its path."""
    contracts = {**described, "records": records(), "asyncapi": asyncapi()}
    return {BASELINE / f"{name}.json": _json(contract) for name, contract in contracts.items()}


def _json(document: Any) -> str:
    # Through YAML's plain types, so that what is compared is what a file can hold.
    return json.dumps(yaml.safe_load(json.dumps(document)), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts", description=__doc__)
    parser.add_argument("--release", action="store_true", help="also make what stands now the released contracts")
    release = parser.parse_args().release
    described = apis()
    for path, content in {**files(described), **(baseline(described) if release else {})}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
