"""Says what a cluster's API would refuse in a manifest, and what it would silently drop.

Rule: strict, so that a misspelt field is an error; a kind without a schema is an error too. Kubernetes' own schemas are
those of `kubernetes-validate`, those of Strimzi and KEDA are the published definitions in `deploy/k8s/crds`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

KUBERNETES_VERSION = "1.33"
DEFINITIONS = Path(__file__).parents[3] / "deploy" / "k8s" / "crds"


def problems(manifest: dict[str, Any]) -> list[str]:
    """One line for each thing that is wrong with a manifest."""
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    group, _, version = str(manifest["apiVersion"]).rpartition("/")
    file = DEFINITIONS / f"{manifest['kind'].lower()}_{group}_{version}.json"
    if file.exists():
        errors = sorted(_validator(file).iter_errors(manifest), key=str)
        return [f"{where}: {error.json_path}: {error.message}" for error in errors]
    try:
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{where}: {error.json_path}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [f"{where}: {error.message}"]
    return []


@cache
def _validator(file: Path) -> jsonschema.Draft202012Validator:
    schema = _strict(json.loads(file.read_text()))
    # Every object has these, and a definition need not say so.
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return jsonschema.Draft202012Validator(schema)


def _strict(schema: Any) -> Any:
    """The schema, refusing what the API server would drop."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(value) for name, value in schema.items() if name != "properties"}
    if "properties" in schema:
        strict["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
            strict["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
    return strict
