"""A container is started for the tests only when an engine says on its socket that it is well."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import conftest


@pytest.fixture
def engine_socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the engine would listen. A short path: a socket's may have about a hundred characters."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "docker.sock"
        monkeypatch.setattr(conftest, "DOCKER_SOCKET", path)
        monkeypatch.setattr(conftest, "DOCKER_ANSWER_TIMEOUT_S", 0.3)
        yield path


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nOK", True),
        (b"HTTP/1.0 500 Internal Server Error\r\n\r\n", False),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", False),
        (b"", False),
        (None, False),
    ],
    ids=["well", "broken", "forbidden", "hangs up", "silent"],
)
def test_only_an_engine_that_says_it_is_well_is_used(engine_socket: Path, answer: bytes | None, expected: bool) -> None:
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(1) as beside:
        listening.bind(str(engine_socket))
        listening.listen()
        listening.settimeout(5)

        def serve() -> socket.socket:
            connection, _ = listening.accept()
            assert connection.recv(1_024).startswith(b"GET /_ping ")
            if answer is not None:
                connection.sendall(answer)
                connection.close()
            return connection

        served = beside.submit(serve)
        assert conftest._docker_answers() is expected
        served.result().close()


def test_a_socket_without_a_listener_or_no_socket_at_all_is_no_engine(engine_socket: Path) -> None:
    assert not conftest._docker_answers()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(engine_socket))
    assert engine_socket.exists()
    assert not conftest._docker_answers()
