"""Settings come from the environment, and an unusable one refuses the start in words a person can act on."""

from __future__ import annotations

from itertools import combinations

import pytest
from pydantic import SecretStr

from deploy.workspace.settings import OperatorSettings
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


def test_a_service_error_says_where_it_happened() -> None:
    error = ServiceError("the record was refused", topic="memberships", partition=3, offset=17)
    assert str(error) == "the record was refused (topic memberships, partition 3, offset 17)"
