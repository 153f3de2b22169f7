"""Topic admin: create the topics of a workspace, and refuse to work on topics of another shape.

Rule: shapes come from `schemas.topics` alone. Creating is for the local stack and tests; in production topics are
declared beside the cluster, and a service only verifies. A wrong topic is never altered here: a changed partition count
would send a contact's records to another partition, so a person decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from schemas.topics import KEEP_FOREVER_MS, SPECS, Topic, TopicSpec, topic_name
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.kafka import client_options
from services.runtime.logs import get_logger
from services.runtime.settings import RuntimeSettings

ALL_TOPICS: Collection[Topic] = tuple(Topic)
KAFKA_WAIT_S = 60
"""How long a start waits for a broker that does not answer, before the process ends and is started again."""
RETRY_WAIT_MAX_S = 5
APPEAR_WAIT_S = 10
"""How long a topic just created may take to show in the broker's metadata."""

ALREADY_EXISTS = 36
UNKNOWN_TOPIC = 3
VERIFIED_SETTINGS = ("cleanup.policy", "message.timestamp.type")
"""Settings on which the guarantees rest; retention and segment sizes are an operator's to tune."""

log = get_logger("topics")


async def ensure_topics(settings: RuntimeSettings, topics: Collection[Topic] = ALL_TOPICS) -> None:
    """Create the topics that are missing, then verify all.

    Errors: as `verify_topics`; also `ServiceError` when the broker does not create one.
    """
    async with _admin(settings) as admin:
        specs = {topic_name(settings.topic_prefix, topic): SPECS[topic] for topic in topics}
        found = await _partition_counts(admin, specs)
        missing = [
            NewTopic(
                name,
                spec.partition_count(settings.partitions),
                settings.replication_factor,
                topic_configs=expected_config(spec, settings),
            )
            for name, spec in specs.items()
            if name not in found
        ]
        if missing:
            await create_topics(admin, missing)
            log.info("topics created", topics=[topic.name for topic in missing])
        await _verify(admin, settings, specs)


async def verify_topics(settings: RuntimeSettings, topics: Collection[Topic] = ALL_TOPICS) -> None:
    """Return only if every topic exists and has the shape of its specification.

    Errors: raises `StartRefusedError` that names each wrong topic, what was found and what is expected;
    `ServiceError` when no broker answers within `KAFKA_WAIT_S`.
    """
    async with _admin(settings) as admin:
        specs = {topic_name(settings.topic_prefix, topic): SPECS[topic] for topic in topics}
        await _verify(admin, settings, specs)


async def cluster_of(settings: RuntimeSettings) -> str:
    """What tells the cluster from others, also from one that was made anew at its address. Errors: ServiceError."""
    async with _admin(settings) as admin:
        described = await admin.describe_cluster()
    return str(described["cluster_id"])


def expected_config(spec: TopicSpec, settings: RuntimeSettings) -> dict[str, str]:
    """Return the broker settings of one topic in this workspace.

    A workspace that replays history carries the producers' timestamps in its input log and keeps it for ever, because
    the broker would delete records that are older than the retention at once.
    """
    if spec.topic is Topic.CONTACT_CHANGES and settings.replay_history:
        history = {"message.timestamp.type": "CreateTime", "retention.ms": str(KEEP_FOREVER_MS)}
        return {**spec.config, **history}
    return spec.config


async def _verify(admin: AIOKafkaAdminClient, settings: RuntimeSettings, specs: Mapping[str, TopicSpec]) -> None:
    counts = await _partition_counts(admin, specs)
    configs = await _configs(admin, counts)
    problems = [
        problem
        for name, spec in specs.items()
        for problem in shape_problems(name, spec, settings, counts.get(name), configs.get(name, {}))
    ]
    if any(counts.get(name, expected) != expected for name, expected in _expected_counts(settings, specs).items()):
        problems.append(partition_count_advice(settings.partitions))
    if problems:
        raise StartRefusedError("the topics are not as they must be: " + "; ".join(problems))


def _expected_counts(settings: RuntimeSettings, specs: Mapping[str, TopicSpec]) -> dict[str, int]:
    return {name: spec.partition_count(settings.partitions) for name, spec in specs.items()}


def shape_problems(
    name: str, spec: TopicSpec, settings: RuntimeSettings, partitions: int | None, config: Mapping[str, str]
) -> list[str]:
    """Return one line for each way in which a topic differs from its specification; `partitions` None is missing.

    What to do about another number of partitions is the same for every topic: `partition_count_advice`.
    """
    expected_partitions = spec.partition_count(settings.partitions)
    if partitions is None:
        return [f"topic {name} is missing, expected {expected_partitions} partitions: declare it, or run `tidegate up`"]
    problems = []
    if partitions != expected_partitions:
        problems.append(partition_count_problem(name, partitions, expected_partitions))
    expected = expected_config(spec, settings)
    problems += [
        f"topic {name} has {setting}={config[setting]}, expected {expected[setting]}: alter the topic"
        for setting in VERIFIED_SETTINGS
        if setting in expected and config.get(setting, expected[setting]) != expected[setting]
    ]
    return problems


def partition_count_problem(name: str, found: int, expected: int) -> str:
    """Say that a topic has another number of partitions than it must have."""
    return f"topic {name} has {found} partitions, expected {expected}"


def partition_count_advice(of_workspace: int) -> str:
    """Say what to do about topics with another number of partitions."""
    return (
        "set TIDEGATE_PARTITIONS to what the topics were created with, or move the workspace by `tidegate admin "
        f"repartition --to {of_workspace} --to-prefix …` (docs/operating.md, Repartitioning)"
    )


async def _partition_counts(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """Return the partition count of each topic that exists."""
    described: list[dict[str, Any]] = await admin.describe_topics(list(names))
    for topic in described:
        if topic["error_code"] not in (0, UNKNOWN_TOPIC):
            raise ServiceError(f"the broker answered error {topic['error_code']}", topic=topic["topic"])
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}


async def _configs(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the verified settings of each existing topic."""
    if not names:
        return {}
    wanted = dict.fromkeys(VERIFIED_SETTINGS)
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names])
    return {
        resource["resource_name"]: {
            entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
        }
        for answer in answers
        for resource in answer.to_object()["resources"]
    }


async def create_topics(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    """Create topics and wait until they show. Another process that creates the same ones meanwhile is no error.

    Errors: `ServiceError` when the broker refuses, or does not show one within `APPEAR_WAIT_S`.
    """
    answer = await admin.create_topics(topics)
    for topic in answer.to_object()["topic_errors"]:
        if topic["error_code"] not in (0, ALREADY_EXISTS):
            raise ServiceError(f"the broker refused to create it: {topic['error_message']}", topic=topic["topic"])
    await _await_appearance(admin, [topic.name for topic in topics])


async def _await_appearance(admin: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Wait until the broker's metadata shows every topic that it said it created."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(ServiceError),
        stop=stop_after_delay(APPEAR_WAIT_S),
        wait=wait_exponential_jitter(multiplier=0.05, max=1),
        reraise=True,
    ):
        with attempt:
            unseen = set(names) - set(await _partition_counts(admin, names))
            if unseen:
                raise ServiceError("a topic was created and does not show yet", topic=min(unseen))


@asynccontextmanager
async def _admin(settings: RuntimeSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client, waiting for a broker that is not up yet."""
    options = client_options(settings)

    def waiting(state: RetryCallState) -> None:
        log.warning("waiting for Kafka", bootstrap=settings.kafka_bootstrap, attempt=state.attempt_number)

    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((KafkaError, OSError)),
            stop=stop_after_delay(KAFKA_WAIT_S),
            wait=wait_exponential_jitter(multiplier=0.1, max=RETRY_WAIT_MAX_S),
            before_sleep=waiting,
            reraise=True,
        ):
            with attempt:
                admin = AIOKafkaAdminClient(**options)
                try:
                    await admin.start()
                except BaseException:
                    await admin.close()
                    raise
    except (KafkaError, OSError) as error:
        raise ServiceError(f"no Kafka broker answers at {settings.kafka_bootstrap}") from error
    try:
        yield admin
    except KafkaError as error:
        raise ServiceError(f"Kafka at {settings.kafka_bootstrap} failed: {error}") from error
    finally:
        await admin.close()
