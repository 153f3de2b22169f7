"""Jars, as the broker's: exactly those of a lock file, fetched once from Maven Central and kept in the user's cache.

Rule: a jar is used only if its SHA-256 is the locked one, so a truncated or altered download is fetched again and never
run. Once all are cached no network is needed. `python -m deploy.local.jars` resolves the broker's coordinate anew and
rewrites `kafka.lock`; that is the only place where its versions are chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import Artifact, MavenContext

from deploy.local.errors import LocalStackError
from deploy.local.filelock import FileLock
from deploy.local.say import Say, to_standard_error

COORDINATE = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
LOCK_FILE = Path(__file__).with_name("kafka.lock")
DOWNLOADS_MAX = 8
"""Jars fetched at the same time."""
DOWNLOAD_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar as the lock file names it."""

    group: str
    artifact: str
    version: str
    sha256: str

    def located(self, context: MavenContext) -> Artifact:
        """Return the artifact in a Maven context."""
        return context.project(self.group, self.artifact).at_version(self.version).artifact()


def kafka_jars(say: Say, between_jars: Callable[[], None] = lambda: None) -> list[Path]:
    """Return the paths of all jars of the broker, fetching those that are missing.

    `between_jars` is called as each is fetched; what it raises ends the fetching. Errors: raises `LocalStackError` when
    one cannot be fetched or is not the locked one.
    """
    return locked_jars("Apache Kafka", read_lock(), say, between_jars)


def locked_jars(
    name: str, jars: list[LockedJar], say: Say, between_jars: Callable[[], None] = lambda: None
) -> list[Path]:
    """Return the paths of these jars, which are `name`, as `kafka_jars` does."""
    cache = cache_directory()
    with _claimed(cache):
        context = maven_context(cache)
        missing = [jar for jar in jars if not _is_intact(jar, _path(jar, context))]
        if missing:
            say(f"Fetching {name}: {len(missing)} of {len(jars)} jars, once, into {cache}")
            _fetch_all(missing, context, say, between_jars)
    return [_path(jar, context) for jar in jars]


def cache_directory() -> Path:
    """Where jars are kept, in Maven's layout."""
    return platformdirs.user_cache_path("tidegate") / "maven"


def maven_context(cache: Path) -> MavenContext:
    """Return jgo's view of the cache; a mirror configured for jgo is used in place of Maven Central."""
    mirrors = GlobalSettings.load().repositories
    return MavenContext(
        repo_cache=cache, remote_repos=mirrors or {"central": MAVEN_CENTRAL_URL}, timeout=DOWNLOAD_TIMEOUT_S
    )


def read_lock(file: Path = LOCK_FILE) -> list[LockedJar]:
    """Read the lock file: a line a jar, `group:artifact:version sha256`."""
    jars = []
    for line in file.read_text(encoding="utf-8").splitlines():
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(LockedJar(group, artifact, version, digest))
    return jars


@contextmanager
def _claimed(cache: Path) -> Iterator[None]:
    """Hold the cache, made if need be, for the body."""
    with ExitStack() as held:
        try:
            cache.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(cache / "lock").held())
        except OSError as error:
            raise _unwritable(error) from error
        yield


def _fetch_all(jars: list[LockedJar], context: MavenContext, say: Say, between_jars: Callable[[], None]) -> None:
    with ThreadPoolExecutor(DOWNLOADS_MAX, thread_name_prefix="jars") as pool:
        # What ends this loop ends `map`, which gives up the jars that are not under way.
        for done, _ in enumerate(pool.map(lambda jar: _fetch(jar, context), jars), start=1):
            between_jars()
            if done % 10 == 0:
                say(f"  {done} of {len(jars)} jars")


def _fetch(jar: LockedJar, context: MavenContext) -> None:
    path = _path(jar, context)
    path.unlink(missing_ok=True)
    with _explained(jar):
        jar.located(context).resolve()
    if not _is_intact(jar, path):
        path.unlink(missing_ok=True)
        raise LocalStackError(
            f"The jar {path.name} that was fetched is not the one that is locked (SHA-256 {jar.sha256[:12]}…); "
            "something between here and Maven Central altered it. Try again, or another network."
        )


@contextmanager
def _explained(jar: LockedJar) -> Iterator[None]:
    """Turn a failed download into one line."""
    try:
        yield
    except requests.RequestException as error:
        raise LocalStackError(
            f"No network: {jar.artifact} {jar.version} could not be fetched from Maven Central "
            f"({type(error).__name__}). Connect once, or name a mirror in ~/.config/jgo.conf; "
            "later starts work offline."
        ) from error
    except RuntimeError as error:
        raise LocalStackError(
            f"{jar.artifact} {jar.version} could not be fetched from Maven Central: {error}"
        ) from error
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> LocalStackError:
    return LocalStackError(f"The jar cache {cache_directory()} cannot be written ({error.strerror}); make it writable.")


def _path(jar: LockedJar, context: MavenContext) -> Path:
    path: Path | None = jar.located(context).cached_path
    if path is None:
        raise AssertionError("a context with a cache gives every artifact a path in it")
    return path


def _is_intact(jar: LockedJar, path: Path) -> bool:
    return path.exists() and _digest(path) == jar.sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(say: Say, coordinate: str = COORDINATE, file: Path = LOCK_FILE) -> None:
    """Resolve a coordinate with all it needs and write what was found to a lock file."""
    import jgo

    context = maven_context(cache_directory())
    lines = []
    for artifact in jgo.resolve(coordinate):
        path = context.project(artifact.groupId, artifact.artifactId).at_version(artifact.version).artifact().resolve()
        lines.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {_digest(path)}")
    file.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    say(f"{len(lines)} jars locked in {file}")


if __name__ == "__main__":
    write_lock(to_standard_error)
