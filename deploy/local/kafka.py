"""One real Apache Kafka broker in a directory: no Docker, no installation, its data kept between starts.

Rule: the broker speaks on loopback only, and is called ready when it has answered what every client asks first, not
when its port opens. What it prints goes to `kafka.log` in its directory, as bounded as every log of the stack; of a
failed start only one line reaches the person. Topics are not this module's business.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.child import Child
from deploy.local.errors import LocalStackError
from deploy.local.jars import kafka_jars
from deploy.local.java import find_java, java_environment
from deploy.local.kafka_failure import explain_failure
from deploy.local.log_file import LogFile, keep_lines
from deploy.local.ports import LOOPBACK, accepts_connections, require_free
from deploy.local.say import Say, quiet
from services.runtime import clock

START_TIMEOUT_S = 60
FORMAT_TIMEOUT_S = 60
STOP_GRACE_S = 12
POLL_INTERVAL_S = 0.1
KEPT_WITHIN_S = 2
"""How long the end of what an ended broker printed is waited for."""
REQUEST_TIMEOUT_MS = 5_000
FOLDERS_SEPARATOR = ","
"""In Kafka's setting of where its logs are; it cannot be escaped."""
GROUP_COORDINATOR, TRANSACTION_COORDINATOR = 0, 1
_JVM = (
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
_FRUGAL = ("-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A broker that runs for minutes on a shared machine is done sooner, and idles cheaper."""
_AS_KAFKA_STARTS = (
    "-Xmx1G",
    "-Xms1G",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
)
"""What Kafka's own start script gives a broker."""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dirs}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
background.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=134217728
metadata.max.idle.interval.ms=5000
"""


class LocalKafka:
    """The broker of one directory. Not thread-safe."""

    def __init__(
        self,
        directory: Path,
        port: int,
        controller_port: int,
        say: Say = quiet,
        between_polls: Callable[[], None] = lambda: None,
        properties: Mapping[str, str] | None = None,
        *,
        as_in_production: bool = False,
    ) -> None:
        """`between_polls` is called while something is waited for; what it raises ends the wait.

        `properties` come after the broker's own and replace those of the same name. `as_in_production` gives the broker
        the heap, the collector and both compilers that Kafka's own start script gives it: it is slower for its first
        minutes and then faster, and stands still for a shorter time.
        """
        self._directory = directory
        self._port = port
        self._controller_port = controller_port
        self._say = say
        self._between_polls = between_polls
        self._replaced = "".join(f"{name}={value}\n" for name, value in (properties or {}).items())
        self._jvm = (*_JVM, *(_AS_KAFKA_STARTS if as_in_production else _FRUGAL))
        self._command: list[str | Path] = []
        self._child: Child | None = None
        self._keeping: threading.Thread | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients connect to."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def log_file(self) -> Path:
        """Where the broker's own output goes."""
        return self._directory / "kafka.log"

    @property
    def child(self) -> Child:
        """The running broker's process."""
        if self._child is None:
            raise AssertionError("the broker has not been started")
        return self._child

    def start(self) -> None:
        """Start the broker and return when it answers.

        Errors: raises `LocalStackError`, one line, when it cannot be prepared or does not get ready.
        """
        self.prepare()
        self.launch()
        try:
            self.await_ready()
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Make ready all that a start needs: jars, Java, free ports, a formatted directory."""
        repair = "stop what listens there, or choose other ports with --port-base"
        require_free(self._port, "Kafka", repair)
        require_free(self._controller_port, "Kafka's controller", repair)
        jars = kafka_jars(self._say, self._between_polls)
        if FOLDERS_SEPARATOR in str(self._directory):
            raise LocalStackError(
                f"{self._directory} has a comma in its name, where Kafka takes another folder to begin; choose another "
                "--data-dir."
            )
        self._command = [find_java(), *self._jvm, "-cp", ":".join(str(jar) for jar in jars)]
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._properties_file.write_text(self._properties(), encoding="utf-8")
        except OSError as error:
            raise LocalStackError(
                f"Kafka's files cannot be written ({error.strerror}); check who owns {self._directory}."
            ) from error
        if not (self._data_directory / "meta.properties").exists():
            self._format()

    def launch(self) -> None:
        """Start the prepared broker's process; it is not ready yet."""
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        log = LogFile(self.log_file)
        try:
            command = [*self._command, "kafka.Kafka", self._properties_file]
            self._child = Child("kafka", command, environment=java_environment())
        except BaseException:
            log.close()
            raise
        keep = (self._child.output, log)
        self._keeping = threading.Thread(target=keep_lines, args=keep, name="output of kafka", daemon=True)
        self._keeping.start()

    def await_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the broker serves clients. Errors: raises `LocalStackError`."""
        deadline = clock.monotonic() + timeout_s
        while not self.answers():
            if self.child.exit_code() is not None:
                self._await_kept()
                raise LocalStackError(explain_failure(self.log_file, self._directory))
            if clock.monotonic() > deadline:
                raise LocalStackError(f"Kafka did not get ready within {timeout_s:.0f} s; its log is {self.log_file}")
            self._between_polls()
            self.child.wait(POLL_INTERVAL_S)

    def answers(self) -> bool:
        """Whether the broker serves clients now."""
        return accepts_connections(self._port) and asyncio.run(_serves_clients(self.bootstrap))

    def stop(self, grace_s: float = STOP_GRACE_S) -> bool:
        """Stop the broker, by force after the grace. Say whether it stopped by itself; harmless when not running."""
        if self._child is None:
            return True
        graceful = self._child.stop(grace_s)
        self._child = None
        self._await_kept()
        return graceful

    def _await_kept(self) -> None:
        """Wait until the end of what was printed is in its file."""
        if self._keeping is not None:
            self._keeping.join(KEPT_WITHIN_S)

    @property
    def _data_directory(self) -> Path:
        return self._directory / "data"

    @property
    def _properties_file(self) -> Path:
        return self._directory / "server.properties"

    def _properties(self) -> str:
        """The broker's settings."""
        properties = _PROPERTIES.format(
            host=LOOPBACK,
            port=self._port,
            controller_port=self._controller_port,
            log_dirs=property_value(str(self._data_directory)),
        )
        return properties + self._replaced

    def _format(self) -> None:
        """Write the empty log directory's identity, as Kafka's own storage tool does."""
        identity = ["--cluster-id", cluster_id(uuid.uuid4())]
        command = [*self._command, "kafka.tools.StorageTool", "format", "--standalone", *identity]
        with self.log_file.open("wb") as log:
            command += ["--config", self._properties_file]
            tool = Child("kafka", command, environment=java_environment(), output=log)
        try:
            self._await_formatted(tool)
        finally:
            tool.stop(STOP_GRACE_S)

    def _await_formatted(self, tool: Child) -> None:
        deadline = clock.monotonic() + FORMAT_TIMEOUT_S
        while not tool.wait(POLL_INTERVAL_S):
            if clock.monotonic() > deadline:
                raise LocalStackError(
                    f"Kafka's storage tool did not end within {FORMAT_TIMEOUT_S} s; its log is {self.log_file}"
                )
            self._between_polls()
        if tool.exit_code() != 0:
            raise LocalStackError(explain_failure(self.log_file, self._directory))


def property_value(text: str) -> str:
    """A text as a Java properties file holds it: a backslash and what is not ASCII, by UTF-16 code units, escaped."""
    return "".join(each if " " <= each <= "~" and each != "\\" else _code_units(each) for each in text)


def _code_units(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def cluster_id(unique: uuid.UUID) -> str:
    """An id for a new cluster, as Kafka writes its own: 22 characters of URL-safe base64.

    The highest bit is cleared, because the storage tool takes an id that begins with a dash for an option.
    """
    return base64.urlsafe_b64encode((unique.int >> 1).to_bytes(16)).decode().rstrip("=")


async def _serves_clients(bootstrap: str) -> bool:
    """Whether metadata, group coordination and transactions all work; asking creates their internal topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        for coordinator in (GROUP_COORDINATOR, TRANSACTION_COORDINATOR):
            await admin.find_coordinator("tidegate-readiness", coordinator)
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True
