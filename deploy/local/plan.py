"""What one local stack is made of: its directory, its ports, its services and what each is told.

Rule: everything that a child learns from the supervisor is in its environment, decided here and nowhere else; starting
and watching is `stack.py`'s work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, free_ports
from services.runtime.keys import KEY_FILE_NAME

EVALUATORS_MAX = 16
PORT_BASE_MIN = 1024
PORT_BASE_MAX = 65_500
SECURITY_PROTOCOL: Final = "PLAINTEXT"
REPLICATION_FACTOR: Final = 1
"""How the one broker, which listens on loopback only, is spoken to, and what it can keep."""
NOT_PASSED_ON: Final = frozenset({"TIDEGATE_READ_ADDRESS"})
"""Each evaluator is reached where it listens: an address of another deployment would be nobody's, or one for all."""
SERVICE_STOP_GRACE_MS = 9_000
"""How long a service may finish its work in hand; the supervisor waits a little longer before it kills."""

INGEST, EVALUATOR, SCHEDULER, CONSOLE, KAFKA = "ingest", "evaluator", "scheduler", "console", "kafka"
WEBHOOKS = "webhooks"
START_STAGES = ((EVALUATOR, SCHEDULER, INGEST), (CONSOLE, WEBHOOKS))
"""Services of one stage start together, the next stage when all of them are ready. Kafka and its topics come before."""


def without_proxy(environment: Mapping[str, str]) -> list[str]:
    """The hosts that the environment has asked without a proxy. An empty variable counts as one that is not set."""
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return [host.strip() for host in named.split(",") if host.strip()]


def further_evaluators(count: int) -> list[str]:
    """The names of the evaluators beyond the first."""
    return [f"{EVALUATOR}-{number}" for number in range(2, count + 1)]


@dataclass(frozen=True, slots=True)
class StackPorts:
    """Where everything listens, on loopback."""

    SPAN: ClassVar[int] = 15
    """How many ports a stack on a port base takes, from the base on."""

    ingest: int
    console: int
    read_api: int
    kafka: int
    controller: int
    webhooks: int
    admin: Mapping[str, int]

    @classmethod
    def documented(cls) -> StackPorts:
        """The ports of the documentation. 9092 is Kafka's, so the scheduler's admin port is 9094; webhooks' is 9096."""
        admin = {INGEST: 9090, EVALUATOR: 9091, CONSOLE: 9093, SCHEDULER: 9094, WEBHOOKS: 9096}
        return cls(8080, 8081, 8082, 9092, 9095, 8083, MappingProxyType(admin))

    @classmethod
    def from_base(cls, base: int) -> StackPorts:
        """Six consecutive ports from the base, and the admin ports from the base + 10."""
        if not PORT_BASE_MIN <= base <= PORT_BASE_MAX:
            raise LocalStackError(f"--port-base is {base}; choose one from {PORT_BASE_MIN} to {PORT_BASE_MAX}.")
        admin = {name: base + 10 + n for n, name in enumerate((INGEST, EVALUATOR, SCHEDULER, CONSOLE, WEBHOOKS))}
        return cls(base, base + 1, base + 2, base + 3, base + 4, base + 5, MappingProxyType(admin))

    def with_evaluators(self, count: int) -> StackPorts:
        """Free ports for the metrics of evaluators beyond the first, whose reads take any free port."""
        more = dict(zip(further_evaluators(count), free_ports(count - 1), strict=True))
        return replace(self, admin=MappingProxyType({**self.admin, **more}))

    def of_services(self) -> list[tuple[str, int]]:
        """Every port that a service needs, with what it is needed for."""
        public = [
            ("ingest", self.ingest),
            ("the dashboard", self.console),
            ("the evaluator's reads", self.read_api),
            ("webhooks", self.webhooks),
        ]
        return public + [(f"{name}'s metrics", port) for name, port in self.admin.items()]


@dataclass(frozen=True, slots=True)
class StackPlan:
    """One stack to run."""

    data_directory: Path
    ports: StackPorts
    partitions: int
    evaluators: int = 1

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """`START_STAGES` with every evaluator."""
        first, *later = START_STAGES
        return (*first, *further_evaluators(self.evaluators)), *later

    @property
    def services(self) -> tuple[str, ...]:
        """Every service by name."""
        return tuple(name for stage in self.stages for name in stage)

    @property
    def ingest_url(self) -> str:
        """Where contacts and segments are written."""
        return f"http://{LOOPBACK}:{self.ports.ingest}"

    @property
    def console_url(self) -> str:
        """Where people and programs read."""
        return f"http://{LOOPBACK}:{self.ports.console}"

    @property
    def webhooks_url(self) -> str:
        """Where webhooks are administered; the console passes it on."""
        return f"http://{LOOPBACK}:{self.ports.webhooks}"

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients connect."""
        return f"{LOOPBACK}:{self.ports.kafka}"

    def ready_url(self, service: str) -> str:
        """Where a service says whether it is ready."""
        return f"http://{LOOPBACK}:{self.ports.admin[service]}/ready"

    def command(self, service: str) -> list[str]:
        """The command that runs a service, by the Python that runs the supervisor."""
        kind, _, _ = service.partition("-")
        return [sys.executable, "-m", f"services.{kind}"]

    def settings(self) -> dict[str, str]:
        """The settings that all services share, by variable name."""
        return {
            "TIDEGATE_KAFKA_BOOTSTRAP": self.bootstrap,
            # Of another cluster, these would keep the services from this broker, or from the key that is announced.
            "TIDEGATE_KAFKA_SECURITY_PROTOCOL": SECURITY_PROTOCOL,
            "TIDEGATE_REPLICATION_FACTOR": str(REPLICATION_FACTOR),
            "TIDEGATE_KEY_FILE": str(self.data_directory / KEY_FILE_NAME),
            "TIDEGATE_PARTITIONS": str(self.partitions),
            "TIDEGATE_DATA_DIR": str(self.data_directory),
            "TIDEGATE_ADMIN_HOST": LOOPBACK,
            "TIDEGATE_STOP_GRACE_MS": str(SERVICE_STOP_GRACE_MS),
            "TIDEGATE_LOG_FORMAT": "console",
            "TIDEGATE_INGEST_PORT": str(self.ports.ingest),
            "TIDEGATE_CONSOLE_PORT": str(self.ports.console),
            "TIDEGATE_READ_API_HOST": LOOPBACK,
            "TIDEGATE_READ_API_PORT": str(self.ports.read_api),
            "TIDEGATE_WEBHOOKS_PORT": str(self.ports.webhooks),
            "TIDEGATE_INGEST_URL": self.ingest_url,
            "TIDEGATE_WEBHOOKS_URL": self.webhooks_url,
            # A local evaluator keeps its place in the group, so that after a crash it works on without waiting for its
            # former self to time out.
            "TIDEGATE_STATIC_MEMBER": EVALUATOR,
            # A proxy of the environment is not for what is on this machine; this name of the variable is the one that
            # wins.
            "no_proxy": ",".join((*without_proxy(os.environ), LOOPBACK)),
        }

    def own_settings(self, service: str) -> dict[str, str]:
        """The settings of one service alone. Each evaluator needs a directory of its own."""
        own = {"TIDEGATE_ADMIN_PORT": str(self.ports.admin[service])}
        if service in further_evaluators(self.evaluators):
            own["TIDEGATE_DATA_DIR"] = str(self.data_directory / service)
            own["TIDEGATE_READ_API_PORT"] = "0"
            own["TIDEGATE_STATIC_MEMBER"] = service
        return own

    def environment(self, service: str) -> dict[str, str]:
        """Everything in a service's environment. What the person set is kept, except where the stack decides."""
        kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
        return {**kept, **self.settings(), **self.own_settings(service)}
