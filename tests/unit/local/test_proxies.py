"""A proxy that the environment names is for what is elsewhere: the stack on this machine talks to itself directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.local.plan import StackPlan, StackPorts

DEAD_PROXY = "http://127.0.0.1:1"


class Ready(BaseHTTPRequestHandler):
    """A service that is ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ready_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/ready"
        server.shutdown()


def test_a_service_is_seen_to_be_ready_whatever_proxy_there_is(ready_url: str) -> None:
    script = f"from deploy.local.stack import unreadiness; print(unreadiness({ready_url!r}))"
    environment = {**os.environ, "HTTP_PROXY": DEAD_PROXY, "http_proxy": DEAD_PROXY, "NO_PROXY": "", "no_proxy": ""}
    seen = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert seen.stdout == "None\n"


@pytest.mark.parametrize(
    ("named", "kept"),
    [({}, []), ({"NO_PROXY": "a.example, b.example"}, ["a.example", "b.example"]), ({"no_proxy": "*"}, ["*"])],
)
def test_services_are_told_to_ask_each_other_directly(
    named: dict[str, str], kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HTTP_PROXY": DEAD_PROXY, **named}.items():
        monkeypatch.setenv(name, value)
    environment = StackPlan(tmp_path, StackPorts.documented(), partitions=1).environment("console")
    script = "import json, urllib.request as r; print(json.dumps([r.getproxies()['no'], r.proxy_bypass('127.0.0.1')]))"
    seen = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    hosts, is_direct = json.loads(seen.stdout)
    assert (hosts.split(","), bool(is_direct)) == ([*kept, "127.0.0.1"], True)
