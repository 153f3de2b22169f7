"""Variables of another deployment in the person's environment keep the stack's services from none of its parts."""

from __future__ import annotations

import threading
from io import StringIO
from pathlib import Path

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.local_key import local_key
from deploy.local.output import Output
from deploy.local.plan import StackPlan, StackPorts
from deploy.local.ports import free_base
from deploy.local.stack import LocalStack
from services.evaluator.settings import EvaluatorSettings
from services.ingest.settings import IngestSettings
from services.runtime.keys import KeyFile
from services.runtime.settings import Settings, load_settings

ELSEWHERE = {
    "TIDEGATE_KAFKA_BOOTSTRAP": "kafka.example.com:9093",
    "TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "TIDEGATE_KAFKA_SASL_USERNAME": "somebody",
    "TIDEGATE_KAFKA_SASL_PASSWORD": "hidden",
    "TIDEGATE_KEY_FILE": "/var/lib/elsewhere/keys.json",
    "TIDEGATE_READ_ADDRESS": "http://evaluator-0.example.com:8082",
    "TIDEGATE_READ_API_HOST": "10.0.0.7",
    "TIDEGATE_REPLICATION_FACTOR": "3",
    "TIDEGATE_PARTITIONS": "64",
}
KEPT = {"TIDEGATE_TICK_INTERVAL_MS": "500", "TIDEGATE_LOG_LEVEL": "DEBUG"}


@pytest.fixture
def plan(tmp_path: Path) -> StackPlan:
    return StackPlan(tmp_path, StackPorts.from_base(free_base(StackPorts.SPAN)).with_evaluators(2), 2, 2)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ELSEWHERE, **KEPT}.items():
        monkeypatch.setenv(name, value)


def read_by_a_service(kind: type[Settings], plan: StackPlan, service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    environment = plan.environment(service)
    with monkeypatch.context() as patched:
        for name in ELSEWHERE:
            patched.delenv(name)
        for name, value in environment.items():
            patched.setenv(name, value)
        return load_settings(kind)


@pytest.mark.usefixtures("elsewhere")
def test_a_service_of_the_stack_reaches_its_broker_and_knows_the_key_that_is_announced(
    plan: StackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = local_key(plan.data_directory)
    settings = read_by_a_service(IngestSettings, plan, "ingest", monkeypatch)
    assert KeyFile(settings.keys_path).verify(key) is not None
    assert (settings.kafka_bootstrap, settings.kafka_security_protocol) == (plan.bootstrap, "PLAINTEXT")
    assert (settings.replication_factor, settings.partitions) == (1, 2)
    assert (settings.tick_interval_ms, settings.log_level) == (500, "DEBUG")


@pytest.mark.usefixtures("elsewhere")
def test_each_evaluator_says_where_it_listens_itself(plan: StackPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evaluator", "evaluator-2"):
        settings = read_by_a_service(EvaluatorSettings, plan, name, monkeypatch)
        assert (settings.read_address, settings.read_api_host) == (None, "127.0.0.1")


@pytest.mark.usefixtures("elsewhere")
def test_topics_are_asked_of_the_stacks_own_broker(plan: StackPlan) -> None:
    settings = LocalStack(plan, Output(StringIO(), colour=False), threading.Event())._settings()
    assert (settings.kafka_bootstrap, settings.kafka_security_protocol) == (plan.bootstrap, "PLAINTEXT")
    assert (settings.replication_factor, settings.partitions) == (1, 2)


def test_a_variable_that_cannot_be_used_is_one_line_before_anything_is_started(
    plan: StackPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TICK_INTERVAL_MS", "5")
    stack = LocalStack(plan, Output(StringIO(), colour=False), threading.Event())
    with pytest.raises(LocalStackError) as refusal:
        stack.start()
    assert str(refusal.value) == (
        "The stack cannot start: the settings cannot be used: TIDEGATE_TICK_INTERVAL_MS: Input should be greater than "
        "or equal to 100 (found '5'); repair or unset it."
    )
    assert stack.pids == {}
