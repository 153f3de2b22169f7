"""The command line in surroundings that others have: proxies, certificates, time zones, encodings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import orjson
import pytest

from tests.unit.sdk.scripted import Service, run
from tidegate.cli import connection
from tidegate.cli.instants import date_time
from tidegate.client import Tidegate
from tidegate.errors import TidegateError

END_OF_9999_MS = 253_402_300_799_000
BEGINNING_OF_1_MS = -62_135_596_800_000
UNUSABLE = [
    ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ("HTTP_PROXY", "http://[::bad"),
    ("HTTP_PROXY", "gopher://proxy:1"),
    ("SSL_CERT_FILE", "/nonexistent"),
]
AWAY = "http://tidegate.invalid"


@pytest.fixture
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize("time_zone", ["Asia/Tokyo", "America/New_York", "UTC"], indirect=True)
@pytest.mark.parametrize("at_ms", [END_OF_9999_MS, BEGINNING_OF_1_MS])
def test_the_ends_of_time_are_told_in_every_time_zone(service: Service, at_ms: int) -> None:
    test = {"kind": "condition", "condition": "ends_at in the future", "holds": True, "attribute": "ends_at",
            "value": "9999", "state": "read", "until_ms": at_ms, "flips": []}  # fmt: skip
    body = {"member": True, "since_ms": at_ms, "holds": True, "until_ms": at_ms, "tree": test}
    service.on("GET", "/contacts/u1/explain", body=body)
    explained = run("explain", "u1", "lasting")
    assert explained.exit_code == 0, explained.exception
    assert f"until {date_time(at_ms)}" in explained.stdout


@pytest.mark.parametrize(("name", "value"), UNUSABLE)
def test_a_proxy_or_certificates_that_cannot_be_used_are_said_in_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    for command in (("segments", "list"), ("tail",), ("doctor", "--ready", f"{AWAY}/ready"), ("doctor",)):
        refused = run(*command, "--url", AWAY)
        assert (refused.exit_code, refused.stderr.count("\n")) == (connection.EXIT_REFUSED, 1), refused.exception
        assert "the environment names cannot be used" in refused.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_what_is_on_this_machine_is_asked_without_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    Tidegate(f"http://{host}:8081")
    with pytest.raises(TidegateError, match="proxy"):
        Tidegate(AWAY)


def test_json_is_utf_8_whatever_the_output_is_in() -> None:
    show = "main.app = lambda **_: output.print_json({'id': 'zoë 漢 😀'})"
    script = f"from tidegate.cli import main, output; {show}; main.run()"
    for encoding in ("latin-1", "ascii", "utf-16", "utf-8"):
        command = [sys.executable, "-X", f"utf8={int(encoding == 'utf-8')}", "-c", script]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        shown = subprocess.run(command, env=environment, capture_output=True, check=True)
        told = shown.stdout.decode("utf-16").encode() if encoding == "utf-16" else shown.stdout
        assert orjson.loads(told) == {"id": "zoë 漢 😀"}, encoding
