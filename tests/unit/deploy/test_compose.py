"""The compose file is one that Compose reads, and its services are hardened and wired as those of the cluster."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyOptions

from services.console.settings import ConsoleSettings
from services.evaluator.settings import EvaluatorSettings
from services.ingest.settings import IngestSettings
from services.runtime.settings import ENV_PREFIX, RuntimeSettings
from services.scheduler.settings import SchedulerSettings
from services.webhooks.settings import WebhookSettings

FILE = Path(__file__).parents[3] / "deploy" / "compose.yaml"
SETTINGS: dict[str, type[RuntimeSettings]] = {
    "prepare": RuntimeSettings,
    "ingest": IngestSettings,
    "evaluator": EvaluatorSettings,
    "scheduler": SchedulerSettings,
    "console": ConsoleSettings,
    "webhooks": WebhookSettings,
}
BEYOND_LOOPBACK = {"TIDEGATE_HOST"}
"""Said to all of them at once; a service without a public port has no such setting and passes over it."""


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services with what they share merged in."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def read(text: str) -> Any:
    """Compose's own reading. Errors: raises when it refuses the file."""
    compose = PyOptions(apply_merge=True).from_yaml(text)
    compose.validate()
    return compose


def test_compose_reads_the_file() -> None:
    read(FILE.read_text())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("read_only: true", "read_only: perhaps"),
        ("healthcheck:\n      test: [CMD, /opt", "healthcheck:\n      tests: [CMD, /opt"),
        ("stop_grace_period: 30s", "stop_grace_period: a while"),
        ("- data:/var/lib/tidegate", "- gone:/var/lib/tidegate"),
        ("condition: service_completed_successfully", "condition: service_done"),
    ],
)
def test_a_planted_mistake_is_refused(right: str, wrong: str) -> None:
    text = FILE.read_text()
    assert right in text
    with pytest.raises(Exception, match=r"."):
        read(text.replace(right, wrong, 1))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_is_hardened_and_its_settings_are_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert service["command"] == ["deploy.local.prepare" if name == "prepare" else f"services.{name}"]
    for variable, value in service["environment"].items():
        known = variable.removeprefix(ENV_PREFIX).lower() in SETTINGS[name].model_fields
        assert known or variable in BEYOND_LOOPBACK, variable
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    if name != "prepare":
        assert f"127.0.0.1:{settings.admin_port}/ready" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("service", ["ingest", "webhooks"])
def test_the_console_is_told_where_each_service_is_whose_routes_it_passes_on(service: str) -> None:
    settings: Any = SETTINGS[service]()
    told = services()["console"]["environment"][f"TIDEGATE_{service.upper()}_URL"]
    assert told == f"http://{service}:{getattr(settings, f'{service}_port')}"
    assert "profiles" not in services()[service], "the console would pass on to a service that is not started"


def test_ports_are_open_to_this_machine_only() -> None:
    for name, service in services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_everything_waits_for_the_topics_and_they_for_the_broker() -> None:
    assert services()["prepare"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in SETTINGS.keys() - {"prepare"}:
        assert services()[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


def test_the_broker_keeps_its_log_on_the_volume() -> None:
    """Its image writes to a folder of the container unless it is told where."""
    kafka = services()["kafka"]
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]
