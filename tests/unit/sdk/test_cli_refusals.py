"""What of a command line cannot be sent is refused in words before anything is asked."""

from __future__ import annotations

import pytest

from tests.unit.sdk.scripted import Service, run


@pytest.mark.parametrize("arguments", [["segments", "list"], ["tail"], ["doctor"]])
@pytest.mark.parametrize("url", ["foo", "localhost:8081", "http:///x", "http://[::1", "http://h:99999", "http://xn--"])
def test_an_address_that_is_none_is_a_wrong_command_line(service: Service, arguments: list[str], url: str) -> None:
    result = run(*arguments, "--url", url)
    assert (result.exit_code, url in result.stderr, service.asked) == (2, True, [])


@pytest.mark.parametrize(
    ("arguments", "variable", "value"),
    [
        (["doctor", "--kafka"], "TIDEGATE_KAFKA_BOOTSTRAP", "admin:CANARY@one:9092"),
        (["doctor", "--kafka"], "TIDEGATE_KAFKA_BOOTSTRAP", "SASL_SSL://admin:CANARY@one:9092"),
        (["doctor", "--ready"], None, "http://admin:CANARY@ingest:9090/ready"),
        (["doctor", "--ready"], None, "admin:CANARY@ingest"),
        (["segments", "list", "--url"], "TIDEGATE_URL", "http://admin:CANARY@console:8081"),
        (["segments", "list", "--url"], "TIDEGATE_CONSOLE_URL", "admin:CANARY@console"),
    ],
)
def test_a_password_in_an_address_is_a_wrong_command_line_and_is_not_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, value: str
) -> None:
    *command, option = arguments
    results = [run(*command, option, value)]
    if variable is not None:
        monkeypatch.setenv(variable, value)
        results.append(run(*command))
    for result in results:
        assert (result.exit_code, f"Invalid value for {option}" in result.stderr, service.asked) == (2, True, [])
        assert "CANARY" not in result.stdout + result.stderr


@pytest.mark.parametrize("key", ["schlüssel", "tg_1\nX: y", "tg_1 ", "\udcff"])
def test_a_key_that_none_can_be_is_a_wrong_command_line_and_is_not_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TIDEGATE_API_KEY", key)
    for arguments in (["segments", "list"], ["tail"], ["doctor"]):
        result = run(*arguments)
        assert (result.exit_code, "Invalid value for --key" in result.stderr, service.asked) == (2, True, [])
        assert key not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["contacts", "get", "\udcff"],
        ["contacts", "set", "u1", "plan=\udcff"],
        ["segments", "create", "a", "plan is \udcff"],
        ["explain", "u1", "\udcff"],
    ],
)
def test_an_argument_that_is_no_text_is_a_wrong_command_line(service: Service, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, "is not text in UTF-8" in result.stderr, service.asked) == (2, True, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["contacts", "get", ""],
        ["contacts", "set", "", "plan=pro"],
        ["contacts", "delete", ""],
        ["segments", "show", ""],
        ["segments", "delete", ""],
        ["explain", "", "a"],
        ["explain", "u1", ""],
        ["tail", ""],
        ["keys", "revoke", ""],
    ],
)
def test_an_empty_id_is_a_wrong_command_line(service: Service, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, "an id is not empty" in result.stderr, service.asked) == (2, True, [])


@pytest.mark.parametrize("address", ["foo", "http://[::1", "http://h:99999/ready"])
def test_doctor_refuses_a_ready_address_that_is_none(service: Service, address: str) -> None:
    result = run("doctor", "--ready", address)
    assert (result.exit_code, "Invalid value for --ready" in result.stderr, service.asked) == (2, True, [])


@pytest.mark.parametrize("value", ['{"attributes": {"plan": 1, "plan": 2}}', '{"attributes": {"mrr": NaN}}', "7", "{"])
def test_a_repaired_record_that_the_api_would_not_take_is_a_wrong_command_line(service: Service, value: str) -> None:
    result = run("dead-letters", "replay", "0/1", "--value", value)
    assert (result.exit_code, service.asked) == (2, [])
