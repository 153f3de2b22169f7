"""Writes the Kafka topics and users of the manifests from the tables: `python -m deploy.k8s.generate`.

For a workspace that was moved, `--prefix` and `--partitions` say to where, and what else is to be changed is printed.
Rule: what the services verify at their start and what the cluster declares have one source, `schemas.topics` and
`deploy.k8s.grants`; a test fails when the committed files differ from what this writes. It needs the development
dependencies and is not part of a running system.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.k8s.grants import EVERY_NAME, GRANTS, MOVED_PREFIX, Grant, user_name
from schemas.groups import EVALUATOR_GROUP, group_name
from schemas.topics import PARTITIONS_MAX, SPECS, TopicSpec

FOLDER: Final = Path(__file__).parent / "base" / "kafka"
PARTITIONS: Final = 64
"""Of every partitioned topic in production; an overlay may say otherwise, before the first start only."""
REPLICAS: Final = 3
IN_SYNC_MIN: Final = "2"
API_VERSION: Final = "kafka.strimzi.io/v1"
CLUSTER_LABEL: Final = {"strimzi.io/cluster": "tidegate"}
PARTITIONING_LABEL: Final = "tidegate.dev/partitioning"
NOTICE: Final = "# Written by `python -m deploy.k8s.generate`; change its tables instead.\n"
PREFIX: Final = re.compile(r"([a-z0-9][a-z0-9.-]*)?")
"""What a Kubernetes name can begin with: a declared topic is named as it is in Kafka."""


def topic_manifest(spec: TopicSpec, prefix: str, partitions: int) -> dict[str, Any]:
    """The `KafkaTopic` of one topic."""
    labels = {**CLUSTER_LABEL, PARTITIONING_LABEL: spec.partitioning.value.replace("_", "-")}
    return {
        "apiVersion": API_VERSION,
        "kind": "KafkaTopic",
        "metadata": {"name": prefix + spec.topic.value, "labels": labels},
        "spec": {
            "partitions": spec.partition_count(partitions),
            "replicas": REPLICAS,
            "config": {**spec.config, "min.insync.replicas": IN_SYNC_MIN},
        },
    }


def user_manifest(service: str, grants: Iterable[Grant], prefix: str) -> dict[str, Any]:
    """The `KafkaUser` of one service; Strimzi puts its password into a secret of the same name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "KafkaUser",
        "metadata": {"name": user_name(service), "labels": dict(CLUSTER_LABEL)},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": [_acl(grant, prefix) for grant in grants]},
        },
    }


def documents(prefix: str = "", partitions: int = PARTITIONS) -> Mapping[str, str]:
    """The content of every written file, by its name, for a workspace of so many partitions under a topic prefix."""
    return {
        "topics.yaml": _text(topic_manifest(spec, prefix, partitions) for spec in SPECS.values()),
        "users.yaml": _text(user_manifest(service, grants, prefix) for service, grants in GRANTS.items()),
    }


def _acl(grant: Grant, prefix: str) -> dict[str, Any]:
    pattern = "prefix" if grant.prefix else "literal"
    # Every topic, group and transactional id of a workspace begins with its prefix; where a move goes to does not.
    name = grant.name if grant.name in {EVERY_NAME, MOVED_PREFIX} else prefix + grant.name
    return {
        "resource": {"type": grant.resource.value, "name": name, "patternType": pattern},
        "operations": [operation.value for operation in grant.operations],
    }


def _text(manifests: Iterable[Mapping[str, Any]]) -> str:
    return NOTICE + yaml.safe_dump_all(list(manifests), sort_keys=False, width=120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.generate", description="Write Kafka topics and users.")
    parser.add_argument("--prefix", default="", help="TIDEGATE_TOPIC_PREFIX of the workspace, such as v2-")
    parser.add_argument("--partitions", type=int, default=PARTITIONS, help="TIDEGATE_PARTITIONS of the workspace")
    parser.add_argument("--to", type=Path, default=FOLDER, help="an existing folder; deploy/k8s/base/kafka by default")
    options = parser.parse_args(arguments)
    if not PREFIX.fullmatch(options.prefix):
        parser.error(
            f"--prefix {options.prefix!r}: a declared topic's name has lower-case letters, digits, '-' and '.' only"
        )
    if not 1 <= options.partitions <= PARTITIONS_MAX:
        parser.error(f"--partitions {options.partitions}: from 1 to {PARTITIONS_MAX:,}")
    for name, text in documents(options.prefix, options.partitions).items():
        (options.to / name).write_text(text, encoding="utf-8")
    if options.prefix or options.partitions != PARTITIONS:
        group = group_name(options.prefix, EVALUATOR_GROUP)
        sys.stdout.write(
            f"Set TIDEGATE_TOPIC_PREFIX={options.prefix} and TIDEGATE_PARTITIONS={options.partitions} in "
            f"base/kustomization.yaml; in overlays/production/scaling.yaml consumerGroup: {group}, "
            f"topic: {options.prefix}contact-changes and maxReplicaCount: at most {options.partitions}.\n"
        )


if __name__ == "__main__":
    main()
