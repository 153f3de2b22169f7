"""Settings come from the environment, and an unusable one refuses the start in words a person can act on."""

from __future__ import annotations

from itertools import combinations

import pytest
from pydantic import SecretStr

from deploy.workspace.settings import OperatorSettings
from services.console.settings import ConsoleSettings
from services.evaluator.settings import EvaluatorSettings
from services.ingest.imports.assembly import running_imports
from services.ingest.settings import IngestSettings
from services.runtime.addresses import without_credentials
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.kafka import client_options
from services.runtime.settings import RuntimeSettings, load_settings
from tests.unit.runtime.settings_table import SERVICES

CANARY = "canary-7f3a"
READERS = (*SERVICES.values(), OperatorSettings)
OF_EACH_PROCESS = {"admin_port"}
"""Several processes on one machine cannot share it, so each has a default of its own."""


def test_a_setting_is_its_name_in_capitals_after_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TOPIC_PREFIX", "acme.")
    monkeypatch.setenv("TIDEGATE_PARTITIONS", "64")
    settings = load_settings(RuntimeSettings)
    assert (settings.topic_prefix, settings.partitions) == ("acme.", 64)


@pytest.mark.parametrize(("one", "other"), list(combinations(READERS, 2)), ids=lambda kind: kind.__name__)
def test_a_variable_that_is_set_for_all_services_means_the_same_to_each(
    one: type[RuntimeSettings], other: type[RuntimeSettings]
) -> None:
    shared = (one.model_fields.keys() & other.model_fields.keys()) - OF_EACH_PROCESS
    for name in shared:
        first, second = one.model_fields[name], other.model_fields[name]
        assert (name, first.default, first.annotation) == (name, second.default, second.annotation)


def test_every_unusable_setting_is_named_with_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TICK_INTERVAL_MS", "5")
    monkeypatch.setenv("TIDEGATE_PARTITIONS", "many")
    with pytest.raises(StartRefusedError) as refusal:
        load_settings(RuntimeSettings)
    assert "TIDEGATE_TICK_INTERVAL_MS: Input should be greater than or equal to 100 (found '5')" in str(refusal.value)
    assert "TIDEGATE_PARTITIONS: " in str(refusal.value)
    assert "(found 'many')" in str(refusal.value)


def test_plain_connections_need_no_credentials() -> None:
    assert client_options(RuntimeSettings(kafka_bootstrap="b:1")) == {
        "bootstrap_servers": "b:1",
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_over_tls_gives_credentials_and_a_verifying_context() -> None:
    options = client_options(
        RuntimeSettings(
            kafka_security_protocol="SASL_SSL", kafka_sasl_username="tidegate", kafka_sasl_password=SecretStr(CANARY)
        )
    )
    assert options["sasl_plain_password"] == CANARY
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["ssl_context"].check_hostname


def test_sasl_without_credentials_refuses_the_start() -> None:
    with pytest.raises(StartRefusedError, match="needs TIDEGATE_KAFKA_SASL_USERNAME and TIDEGATE_KAFKA_SASL_PASSWORD"):
        client_options(RuntimeSettings(kafka_security_protocol="SASL_PLAINTEXT"))


def test_a_password_is_not_shown_with_the_settings() -> None:
    assert CANARY not in repr(RuntimeSettings(kafka_sasl_password=SecretStr(CANARY)))


class SettingsOfARelay(RuntimeSettings):
    relay_secret: int = 0
    relay_password: bool = False


def test_what_is_unusable_as_a_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RELAY_SECRET", "RELAY_PASSWORD"):
        monkeypatch.setenv(f"TIDEGATE_{name}", CANARY)
    with pytest.raises(StartRefusedError) as refusal:
        load_settings(SettingsOfARelay)
    for name in ("TIDEGATE_RELAY_SECRET: ", "TIDEGATE_RELAY_PASSWORD: "):
        assert name in str(refusal.value)
    assert str(refusal.value).count("(found a hidden value)") == 2
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "variable", "value"),
    [
        (RuntimeSettings, "TIDEGATE_KAFKA_BOOTSTRAP", "one:9092,admin:{secret}@two:9092"),
        (RuntimeSettings, "TIDEGATE_KAFKA_BOOTSTRAP", "SASL_SSL://admin:{secret}@one:9092"),
        (ConsoleSettings, "TIDEGATE_INGEST_URL", "http://admin:{secret}@ingest:8080"),
        (ConsoleSettings, "TIDEGATE_WEBHOOKS_URL", "http://admin:{secret}@webhooks:8083"),
        (EvaluatorSettings, "TIDEGATE_READ_ADDRESS", "http://admin:{secret}@evaluator-0:8082"),
        (RuntimeSettings, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://admin:{secret}@collector:4318"),
    ],
)
def test_a_password_in_an_address_refuses_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, kind: type[RuntimeSettings], variable: str, value: str
) -> None:
    """A client would not send it, and logs, errors and statuses would tell it with the address."""
    monkeypatch.setenv(variable, value.format(secret=CANARY))
    with pytest.raises(StartRefusedError, match=rf": {variable}: .+ \(found a hidden value\)$") as refusal:
        load_settings(kind)
    assert CANARY not in str(refusal.value)


def test_a_protocol_before_a_broker_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_KAFKA_BOOTSTRAP", "SSL://one:9093")
    with pytest.raises(StartRefusedError, match="belongs to TIDEGATE_KAFKA_SECURITY_PROTOCOL"):
        load_settings(RuntimeSettings)


@pytest.mark.parametrize("servers", ["one:9092", "one:9092, two:9092", "[::1]:9092", "one"])
def test_brokers_are_named_by_host_and_port(servers: str) -> None:
    assert RuntimeSettings(kafka_bootstrap=servers).kafka_bootstrap == servers


def test_a_text_is_shown_without_the_users_and_passwords_of_its_urls() -> None:
    text = f"ftp://u:{CANARY}@h/a@b cannot be used: no ftp://u:{CANARY}@@h:21, nor /folder/a@b"
    assert without_credentials(text) == "ftp://…@h/a@b cannot be used: no ftp://…@h:21, nor /folder/a@b"


async def test_a_place_of_imports_that_cannot_be_used_is_told_without_its_password() -> None:
    settings = IngestSettings(imports_url=f"nosuch://user:{CANARY}@host/imports")
    with pytest.raises(StartRefusedError, match=r"^TIDEGATE_IMPORTS_URL nosuch://…@host/imports cannot") as refusal:
        async with running_imports(settings, list):
            pass
    assert CANARY not in str(refusal.value)


def test_a_service_error_says_where_it_happened() -> None:
    error = ServiceError("the record was refused", topic="memberships", partition=3, offset=17)
    assert str(error) == "the record was refused (topic memberships, partition 3, offset 17)"
