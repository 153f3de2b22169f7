"""What each service and each operator's command may do on Kafka: the table behind every `KafkaUser`, tried by a test.

Rule: a user has the operations that it uses and no other. `Write` and `Read` imply `Describe` at the broker, so it
stands alone only where nothing else is needed. Every service reads the settings of its topics when it starts, which is
`DescribeConfigs`. Names are those of a workspace without a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from schemas.groups import EVALUATOR_GROUP, SCHEDULER_GROUP, WEBHOOK_GROUPS
from schemas.topics import Topic


class Resource(StrEnum):
    """What a grant is about, as Strimzi spells it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"


class Operation(StrEnum):
    """What may be done, as Strimzi spells it."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER_CONFIGS = "AlterConfigs"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations on one resource, or on all whose names begin so."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    prefix: bool = False


def _reads(*topics: Topic) -> tuple[Grant, ...]:
    return tuple(Grant(Resource.TOPIC, topic.value, (Operation.READ, Operation.DESCRIBE_CONFIGS)) for topic in topics)


def _writes(*topics: Topic) -> tuple[Grant, ...]:
    return tuple(Grant(Resource.TOPIC, topic.value, (Operation.WRITE, Operation.DESCRIBE_CONFIGS)) for topic in topics)


def _reads_and_writes(*topics: Topic) -> tuple[Grant, ...]:
    operations = (Operation.READ, Operation.WRITE, Operation.DESCRIBE_CONFIGS)
    return tuple(Grant(Resource.TOPIC, topic.value, operations) for topic in topics)


def _group(name: str, *, prefix: bool = False) -> Grant:
    return Grant(Resource.GROUP, name, (Operation.READ,), prefix)


def _transactions(prefix: str) -> Grant:
    return Grant(Resource.TRANSACTIONAL_ID, prefix, (Operation.WRITE,), prefix=True)


def _allows(topic: Topic, *operations: Operation) -> Grant:
    return Grant(Resource.TOPIC, topic.value, (Operation.READ, Operation.DESCRIBE_CONFIGS, *operations))


EVERY_NAME = "*"
MOVED_PREFIX = "v"
"""How the prefix of a moved workspace begins, as in `v2-`: the operator may make and fill topics under it."""
DOCTOR, OPERATOR = "doctor", "operator"
"""Users of `tidegate doctor` and `tidegate admin`. No service has them; each command's own pod holds its password."""

GRANTS: Mapping[str, tuple[Grant, ...]] = MappingProxyType(
    {
        "ingest": (
            *_reads_and_writes(Topic.CONTACT_CHANGES, Topic.SEGMENTS, Topic.ATTRIBUTES, Topic.REQUESTS),
            *_reads(Topic.EVALUATOR_STATUS, Topic.DEAD_LETTERS, Topic.AUDIT),
            _transactions("ingest-merge-"),
        ),
        "evaluator": (
            *_reads(Topic.CONTACT_CHANGES),
            *_reads_and_writes(Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG),
            # Of what it publishes it looks for its own last records, where a broker has left them without an outcome.
            *_reads_and_writes(Topic.MEMBERSHIPS, Topic.DEAD_LETTERS),
            *_writes(Topic.EVALUATOR_STATUS),
            _group(EVALUATOR_GROUP),
            _transactions(f"{EVALUATOR_GROUP}-"),
        ),
        "scheduler": (
            *_reads(Topic.SEGMENTS),
            *_writes(Topic.CONTACT_CHANGES),
            _group(SCHEDULER_GROUP),
        ),
        "console": _reads(Topic.MEMBERSHIPS, Topic.EVALUATOR_STATUS, Topic.ATTRIBUTES, Topic.DEAD_LETTERS),
        "webhooks": (
            *_reads_and_writes(Topic.WEBHOOKS),
            *_writes(Topic.AUDIT),
            *_reads(Topic.MEMBERSHIPS),
            _group(WEBHOOK_GROUPS, prefix=True),
        ),
        # What scales the evaluators by their lag looks at both ends of the log, and reads nothing of it.
        "autoscaler": (
            Grant(Resource.TOPIC, Topic.CONTACT_CHANGES.value, (Operation.DESCRIBE,)),
            Grant(Resource.GROUP, EVALUATOR_GROUP, (Operation.DESCRIBE,)),
        ),
        DOCTOR: (
            *_reads(Topic.CONTACT_CHANGES),
            *(
                Grant(Resource.TOPIC, topic.value, (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS))
                for topic in Topic
                if topic is not Topic.CONTACT_CHANGES
            ),
        ),
        OPERATOR: (
            *(
                _allows(topic, Operation.WRITE, Operation.ALTER_CONFIGS, Operation.DELETE)
                for topic in (Topic.CONTACT_CHANGES, Topic.DEAD_LETTERS, Topic.REQUESTS)
            ),
            *(
                _allows(topic, Operation.WRITE, Operation.ALTER_CONFIGS)
                for topic in (Topic.CONTACTS_CHANGELOG, Topic.MEMBERSHIPS, Topic.WEBHOOKS)
            ),
            *(_allows(topic, Operation.ALTER_CONFIGS) for topic in (Topic.SEGMENTS, Topic.ATTRIBUTES, Topic.AUDIT)),
            *_reads(Topic.CONTROL_CHANGELOG, Topic.EVALUATOR_STATUS),
            Grant(
                Resource.TOPIC,
                MOVED_PREFIX,
                (
                    Operation.CREATE,
                    Operation.READ,
                    Operation.WRITE,
                    Operation.DESCRIBE_CONFIGS,
                    Operation.ALTER_CONFIGS,
                ),
                prefix=True,
            ),
            # Consumers of memberships choose their groups' names, and a move takes all of them along.
            _group(EVERY_NAME),
            Grant(Resource.TRANSACTIONAL_ID, "clearing", (Operation.WRITE,)),
            _transactions(MOVED_PREFIX),
        ),
    }
)
"""By service or command; the user is `user_name` of it."""


def user_name(service: str) -> str:
    """The Kafka user of a service or command, and the name of the secret with its password."""
    return f"tidegate-{service}"
