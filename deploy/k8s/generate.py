"""Writes the Kafka topics and users of the manifests from the tables: `python -m deploy.k8s.generate`.

Rule: what the services verify at their start and what the cluster declares have one source, `schemas.topics` and
`deploy.k8s.grants`; a test fails when the committed files differ from what this writes. It needs the development
dependencies and is not part of a running system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.k8s.grants import GRANTS, Grant, user_name
from schemas.topics import SPECS, TopicSpec

FOLDER: Final = Path(__file__).parent / "base" / "kafka"
PARTITIONS: Final = 64
"""Of every partitioned topic in production; an overlay may say otherwise, before the first start only."""
REPLICAS: Final = 3
IN_SYNC_MIN: Final = "2"
API_VERSION: Final = "kafka.strimzi.io/v1"
CLUSTER_LABEL: Final = {"strimzi.io/cluster": "tidegate"}
PARTITIONING_LABEL: Final = "tidegate.dev/partitioning"
NOTICE: Final = "# Written by `python -m deploy.k8s.generate`; change its tables instead.\n"


def topic_manifest(spec: TopicSpec) -> dict[str, Any]:
    """The `KafkaTopic` of one topic."""
    labels = {**CLUSTER_LABEL, PARTITIONING_LABEL: spec.partitioning.value.replace("_", "-")}
    return {
        "apiVersion": API_VERSION,
        "kind": "KafkaTopic",
        "metadata": {"name": spec.topic.value, "labels": labels},
        "spec": {
            "partitions": spec.partition_count(PARTITIONS),
            "replicas": REPLICAS,
            "config": {**spec.config, "min.insync.replicas": IN_SYNC_MIN},
        },
    }


def user_manifest(service: str, grants: Iterable[Grant]) -> dict[str, Any]:
    """The `KafkaUser` of one service; Strimzi puts its password into a secret of the same name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "KafkaUser",
        "metadata": {"name": user_name(service), "labels": dict(CLUSTER_LABEL)},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_acl(grant) for grant in grants]},
        },
    }


def documents() -> Mapping[str, str]:
    """The content of every written file, by its name."""
    return {
        "topics.yaml": _text(topic_manifest(spec) for spec in SPECS.values()),
        "users.yaml": _text(user_manifest(service, grants) for service, grants in GRANTS.items()),
    }


def _acl(grant: Grant) -> dict[str, Any]:
    pattern = "prefix" if grant.prefix else "literal"
    return {
        "resource": {"type": grant.resource.value, "name": grant.name, "patternType": pattern},
        "operations": [operation.value for operation in grant.operations],
    }


def _text(manifests: Iterable[Mapping[str, Any]]) -> str:
    return NOTICE + yaml.safe_dump_all(list(manifests), sort_keys=False, width=120)


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
