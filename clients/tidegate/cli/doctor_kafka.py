"""What `tidegate doctor` looks at on the broker itself: that it answers, the topics' shapes, the ticks.

Rule: reads only, with the access that any reader of the workspace has; every wait has a limit. The shapes are those of
`schemas.topics`; retention and sizes are an operator's to tune and are not judged.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from schemas.topics import SPECS, Topic, topic_name
from tidegate.cli.doctor import Check

KAFKA_LOGGER: Final = "aiokafka"
JUDGED: Final = ("cleanup.policy", "message.timestamp.type")
TICK_AGE_MAX_MS: Final = 70_000
"""More than the longest tick interval that can be set."""
TICK_AHEAD_MAX_MS: Final = 2_000
TICK_READ_TIMEOUT_MS: Final = 3_000
REQUEST_TIMEOUT_MS: Final = 5_000


async def examine_broker(bootstrap: str, prefix: str, status: Mapping[str, Any] | None, asked_at: float) -> list[Check]:
    """Look at the broker.

    `status` is the console's answer, asked for at `asked_at` by the monotonic clock; without it neither counts nor ages
    are compared.
    """
    # The checks say what fails. Without a handler Python prints what the client logs of it besides.
    logging.getLogger(KAFKA_LOGGER).addHandler(logging.NullHandler())
    try:
        admin = AIOKafkaAdminClient(**_client(bootstrap))
    except (ValueError, OSError) as error:
        return [_unusable(bootstrap, error)]
    try:
        await admin.start()
    except ValueError as error:
        await admin.close()
        return [_unusable(bootstrap, error)]
    except (KafkaError, OSError) as error:
        await admin.close()
        found = f"no broker answers at {bootstrap} ({type(error).__name__})"
        return [Check("kafka", False, found, "start it, or pass --kafka")]
    try:
        cluster = await admin.describe_cluster()
        checks = [Check("kafka", True, f"answers at {bootstrap}; brokers: {len(cluster['brokers'])}")]
        checks.append(await _topics(admin, prefix, status))
    except KafkaError as error:
        return [Check("kafka", False, f"{bootstrap}: {error}", "see the broker's log")]
    finally:
        await admin.close()
    if checks[-1].ok and status is not None:
        checks.append(await _ticks(bootstrap, prefix, status, asked_at))
    return checks


def _unusable(bootstrap: str, error: Exception) -> Check:
    found = f"a connection to {bootstrap} cannot be set up: {error}"
    return Check("kafka", False, found, "mend --kafka, or the variables TIDEGATE_KAFKA_…")


async def _topics(admin: Any, prefix: str, status: Mapping[str, Any] | None) -> Check:
    """Every topic of the workspace, by its shape."""
    names = {topic_name(prefix, topic): spec for topic, spec in SPECS.items()}
    found = {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics(list(names))
        if topic["error_code"] == 0
    }
    settings = await _settings(admin, list(found))
    wrong = [f"{name} is missing" for name in names if name not in found]
    for name, partitions in found.items():
        spec = names[name]
        expected = spec.partition_count(status["partitions_expected"]) if status is not None else partitions
        if partitions != expected:
            wrong.append(f"{name} has {partitions} partitions, expected {expected}")
        wrong += [
            f"{name} has {setting}={settings[name].get(setting)}, expected {spec.config[setting]}"
            for setting in JUDGED
            if setting in spec.config and settings[name].get(setting) != spec.config[setting]
        ]
    advice = "declare missing topics, alter wrong settings; to change partitions see docs/operating.md" if wrong else ""
    return Check("topics", not wrong, "; ".join(wrong) or f"{len(found)} are as they must be", advice)


async def _settings(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(JUDGED)) for name in names]
    return {
        resource["resource_name"]: {each["config_names"]: each["config_value"] for each in resource["config_entries"]}
        for answer in await admin.describe_configs(wanted)
        for resource in answer.to_object()["resources"]
    }


async def _ticks(bootstrap: str, prefix: str, status: Mapping[str, Any], asked_at: float) -> Check:
    """The newest record of each partition's log: ticks never pause, so it is young, and not from the future."""
    topic = topic_name(prefix, Topic.CONTACT_CHANGES)
    consumer = AIOKafkaConsumer(**_client(bootstrap), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        everywhere = [TopicPartition(topic, partition) for partition in range(status["partitions_expected"])]
        consumer.assign(everywhere)
        ends = await consumer.end_offsets(everywhere)
        newest = {at: await _newest(consumer, at, ends[at]) for at in everywhere}
    except KafkaError as error:
        return Check("ticks", False, f"{topic} cannot be read: {error}", "check this client's access")
    finally:
        await consumer.stop()
    now_ms = console_now_ms(status["as_of"], time.monotonic() - asked_at)
    return judge_ticks({at.partition: stamp for at, stamp in newest.items()}, now_ms)


def console_now_ms(as_of: str, passed_s: float) -> int:
    """The latest that the console's clock can show, so long after it was asked: other checks ran since it answered."""
    return round((datetime.fromisoformat(as_of).timestamp() + passed_s) * 1000)


def judge_ticks(newest: Mapping[int, int | None], now_ms: int) -> Check:
    """What the newest timestamp of each partition says at `now_ms`."""
    silent = sorted(index for index, stamp in newest.items() if stamp is None or now_ms - stamp > TICK_AGE_MAX_MS)
    ahead_ms = max((stamp - now_ms for stamp in newest.values() if stamp is not None), default=0)
    if silent:
        return Check("ticks", False, f"partitions {silent} have had none lately", "no scheduler leads: see its /ready")
    if ahead_ms > TICK_AHEAD_MAX_MS:
        advice = "set the clocks: conditions on time follow the broker's"
        return Check("ticks", False, f"the broker's clock is {ahead_ms:,} ms ahead of the console's", advice)
    return Check("ticks", True, "every partition has a young one; the broker's clock agrees with the console's")


async def _newest(consumer: Any, at: TopicPartition, end: int) -> int | None:
    """The timestamp of a partition's last record; None if there is none. Markers leave holes, so a few are skipped."""
    for back in range(1, 11):
        if end - back < 0:
            return None
        consumer.seek(at, end - back)
        records = (await consumer.getmany(at, timeout_ms=TICK_READ_TIMEOUT_MS // 10)).get(at)
        if records:
            return int(records[-1].timestamp)
    return None


def _client(bootstrap: str) -> dict[str, Any]:
    """The same variables as the services': a person who may run them may look."""
    protocol = os.environ.get("TIDEGATE_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap,
        "security_protocol": protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }
    if protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=os.environ.get("TIDEGATE_KAFKA_SSL_CA_FILE"))
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = os.environ.get("TIDEGATE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        options["sasl_plain_username"] = os.environ.get("TIDEGATE_KAFKA_SASL_USERNAME")
        options["sasl_plain_password"] = os.environ.get("TIDEGATE_KAFKA_SASL_PASSWORD")
    return options
