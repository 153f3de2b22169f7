"""Liveness is observed from the loop's beats; readiness is what the service last declared."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from services.runtime.admin import AdminServer, _AdminHandler
from services.runtime.errors import StartRefusedError
from services.runtime.health import LIVE_BEAT_AGE_MAX_MS, Health


class HandDrivenClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandDrivenClock:
    return HandDrivenClock()


@pytest.fixture
def health(clock: HandDrivenClock) -> Health:
    return Health(clock)


@pytest.fixture
def admin(health: Health) -> Iterator[AdminServer]:
    server = AdminServer("evaluator", health, "127.0.0.1", 0)
    server.start()
    yield server
    server.close()


def get(server: AdminServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def test_a_new_process_is_alive_and_not_ready(health: Health) -> None:
    assert health.live
    assert not health.readiness.ready
    assert health.readiness.reason == "starting"


def test_a_loop_is_alive_through_the_last_allowed_moment_and_stuck_after_it(
    health: Health, clock: HandDrivenClock
) -> None:
    seen = []
    for seconds in (LIVE_BEAT_AGE_MAX_MS / 1000, LIVE_BEAT_AGE_MAX_MS / 1000 + 0.001):
        clock.seconds = seconds
        seen.append(health.live)
    health.beat()
    assert [*seen, health.live] == [True, False, True]


def test_ready_answers_200_with_the_reason_and_503_when_it_is_taken_back(admin: AdminServer, health: Health) -> None:
    health.ready("8 partitions")
    status, body = get(admin, "/ready")
    assert (status, json.loads(body)) == (200, {"service": "evaluator", "ready": True, "reason": "8 partitions"})
    health.not_ready("recovering partition 3")
    status, body = get(admin, "/ready?verbose")
    assert (status, json.loads(body)["reason"]) == (503, "recovering partition 3")


def test_a_stuck_loop_is_reported_by_a_server_that_still_answers(admin: AdminServer, clock: HandDrivenClock) -> None:
    assert get(admin, "/live")[0] == 200
    clock.seconds = 60
    status, body = get(admin, "/live")
    assert (status, json.loads(body)["beat_age_ms"]) == (503, 60_000)


def test_metrics_are_in_prometheus_text_and_say_whether_the_process_is_ready(
    admin: AdminServer, health: Health
) -> None:
    assert "tidegate_ready_info 0.0" in get(admin, "/metrics")[1]
    health.ready()
    assert "tidegate_ready_info 1.0" in get(admin, "/metrics")[1]


def test_a_probe_that_leaves_before_its_answer_is_not_worth_a_word_and_a_defect_is_logged(
    admin: AdminServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for error in (BrokenPipeError(), ConnectionResetError(), ValueError("ours")):
        with capture_logs() as logged:
            try:
                raise error
            except (OSError, ValueError):
                admin._server.handle_error(None, ("127.0.0.1", 1))
        assert [line["exc_info"] for line in logged] == ([error] if isinstance(error, ValueError) else [])
    assert capfd.readouterr().err == ""


def test_a_client_that_does_not_finish_its_request_is_cut_off(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_AdminHandler, "timeout", _AdminHandler.timeout / 100)
    with socket.create_connection(("127.0.0.1", admin.port), timeout=5) as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\n")
        assert connection.recv(1) == b""


def test_a_request_that_trickles_is_cut_off_however_often_a_byte_comes(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_AdminHandler, "timeout", 1.0)
    with socket.create_connection(("127.0.0.1", admin.port), timeout=30) as trickling:
        trickling.settimeout(0.05)
        for _ in range(400):
            with contextlib.suppress(TimeoutError, BrokenPipeError):
                trickling.send(b"G")
            try:
                left = trickling.recv(1)
            except TimeoutError:
                continue
            except ConnectionError:
                left = b""
            assert left == b""
            return
        pytest.fail("a request that never ends was waited for")


def test_an_unknown_path_says_which_there_are(admin: AdminServer) -> None:
    status, body = get(admin, "/health")
    assert (status, json.loads(body)["paths"]) == (404, ["/live", "/metrics", "/ready"])


def test_a_taken_admin_port_refuses_the_start_and_names_the_setting(admin: AdminServer, health: Health) -> None:
    with pytest.raises(StartRefusedError, match=rf"127.0.0.1:{admin.port} cannot be used: .*TIDEGATE_ADMIN_PORT"):
        AdminServer("second", health, "127.0.0.1", admin.port)
