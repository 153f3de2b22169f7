"""The local stack: a broker and five services, started in order, watched, and stopped in order.

Rule: each start waits until what it needs says that it is ready, so nothing is announced that does not work. Services
stop before the broker. One stack at a time uses a data directory. A failed start stops whatever had been started.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from threading import Event

from deploy.local import record
from deploy.local.child import Child
from deploy.local.errors import LocalStackError
from deploy.local.filelock import FileLock
from deploy.local.kafka import LocalKafka
from deploy.local.local_key import local_key
from deploy.local.output import Output
from deploy.local.plan import KAFKA, REPLICATION_FACTOR, SECURITY_PROTOCOL, SERVICE_STOP_GRACE_MS, StackPlan
from deploy.local.ports import require_free
from deploy.local.supervised import State, Supervised, ending
from services.runtime import clock
from services.runtime.errors import ServiceError, StartRefusedError
from services.runtime.settings import RuntimeSettings, load_settings
from services.runtime.topics import ensure_topics

READY_TIMEOUT_S = 90
START_CRASHES_MAX = 3
"""A service that never got ready and ended so often does so for a reason that waiting does not remove."""
READY_POLL_S = 0.1
READY_REQUEST_TIMEOUT_S = 2
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""What is on this machine is asked without a proxy of the environment."""
WATCH_INTERVAL_S = 0.5
SERVICES_STOP_S = SERVICE_STOP_GRACE_MS / 1000 + 1
KAFKA_STOP_S = 6
"""With the services' time this stays below the 20 s in which a stop must be over."""
DISK_FREE_MIN_BYTES = 512 * 1024 * 1024


class StopRequestedError(Exception):
    """A person or the system asked for a stop while the stack was still starting."""


class LocalStack:
    """One stack on one data directory."""

    def __init__(self, plan: StackPlan, output: Output, stopping: Event) -> None:
        self._plan = plan
        self._output = output
        self._stopping = stopping
        self._lock = FileLock(plan.data_directory / "lock")
        self._kafka = LocalKafka(
            plan.data_directory / KAFKA, plan.ports.kafka, plan.ports.controller, output.say, self._continue_or_stop
        )
        self._broker = Supervised(KAFKA, self._launch_kafka, output.say)
        self._services = {name: Supervised(name, partial(self._launch, name), output.say) for name in plan.services}
        self._key = ""

    @property
    def key(self) -> str:
        """The local API key, once started."""
        return self._key

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each part."""
        return {part.name: part.child.pid for part in self._parts() if part.state is not State.NEW}

    def start(self) -> None:
        """Bring everything up and return when every part is ready.

        Errors: raises `LocalStackError`, one line, after stopping what had been started; `StopRequestedError`.
        """
        self._claim_directory()
        try:
            self._check_surroundings()
            self._make_key()
            self._start_broker()
            for stage in self._plan.stages:
                self._start_stage(stage)
        except BaseException:
            self.stop()
            raise

    def watch(self, on_tick: Callable[[], None] = lambda: None) -> None:
        """Keep every part running until a stop is asked for."""
        while not self._stopping.wait(WATCH_INTERVAL_S):
            now = clock.monotonic()
            changed = [part.name for part in self._parts() if part.check(now)]
            if changed:
                self._record()
            on_tick()

    def stop(self) -> bool:
        """Stop the services together, then the broker. Say whether all stopped by themselves in time."""
        services = [part for part in self._services.values() if part.state is not State.NEW]
        for part in services:
            part.ask_to_stop()
        deadline = clock.monotonic() + SERVICES_STOP_S
        graceful = [part.stop(max(0.0, deadline - clock.monotonic())) for part in services]
        if self._broker.state is not State.NEW:
            graceful.append(self._broker.stop(KAFKA_STOP_S))
        record.forget(self._plan.data_directory)
        self._lock.release()
        return all(graceful)

    def request_stop(self) -> None:
        """Ask for a stop from within: `watch` then returns."""
        self._stopping.set()

    def kill(self) -> None:
        """End every part at once: for a person who asks a second time."""
        for part in self._parts():
            if part.state is State.RUNNING:
                part.child.kill()

    def _parts(self) -> list[Supervised]:
        return [self._broker, *self._services.values()]

    def _claim_directory(self) -> None:
        """Make sure that the directory is this stack's alone."""
        directory = self._plan.data_directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            claimed = self._lock.try_acquire()
        except OSError as error:
            raise LocalStackError(
                f"{directory} cannot be written ({error.strerror}); choose another --data-dir."
            ) from error
        if not claimed:
            raise LocalStackError(
                f"Another stack (pid {self._lock.holder()}) runs on {directory}; stop it, or choose another --data-dir."
            )

    def _check_surroundings(self) -> None:
        """Make sure that there is room, that no earlier process is left, and that every port is free."""
        directory = self._plan.data_directory
        free = shutil.disk_usage(directory).free
        if free < DISK_FREE_MIN_BYTES:
            raise LocalStackError(
                f"{directory} has {free >> 20} MiB of disk left, {DISK_FREE_MIN_BYTES >> 20} MiB are needed; "
                "free some, or choose another --data-dir."
            )
        record.end_leftovers(directory, self._output.say)
        for used_for, port in self._plan.ports.of_services():
            require_free(port, used_for, "stop what listens there, or choose other ports with --port-base")

    def _make_key(self) -> None:
        try:
            self._key = local_key(self._plan.data_directory)
        except ServiceError as error:
            raise LocalStackError(f"There is no API key: {error}.") from error
        except OSError as error:
            raise LocalStackError(
                f"There is no API key: {error.filename} cannot be used ({error.strerror})."
            ) from error

    def _start_broker(self) -> None:
        settings = self._settings()
        self._output.say("Starting Kafka …")
        self._kafka.prepare()
        self._continue_or_stop()
        self._broker.start(clock.monotonic())
        self._kafka.await_ready()
        self._output.say("Creating topics …")
        try:
            asyncio.run(self._topics_made(settings))
        except StartRefusedError as error:
            told = "here that is --partitions, as --data-dir was first used with; or choose another --data-dir"
            raise LocalStackError(f"The topics cannot be used: {error}; {told}.") from error
        except ServiceError as error:
            raise LocalStackError(f"The topics cannot be used: {error}") from error

    async def _topics_made(self, settings: RuntimeSettings) -> None:
        """Make the topics, unless a stop is asked for meanwhile or the broker ends: who asks it waits for a minute."""
        making = asyncio.create_task(ensure_topics(settings), name="topics")
        try:
            while not making.done():
                self._continue_or_stop()
                if (code := self._broker.child.exit_code()) is not None:
                    raise LocalStackError(
                        f"Kafka ended while topics were made ({ending(code)}); its log is {self._kafka.log_file}"
                    )
                await asyncio.wait({making}, timeout=READY_POLL_S)
        finally:
            making.cancel()
            await asyncio.wait({making})
        making.result()

    def _settings(self) -> RuntimeSettings:
        """What the environment says of what all services share, but for what the stack decides."""
        try:
            return load_settings(
                RuntimeSettings,
                kafka_bootstrap=self._plan.bootstrap,
                kafka_security_protocol=SECURITY_PROTOCOL,
                partitions=self._plan.partitions,
                replication_factor=REPLICATION_FACTOR,
            )
        except StartRefusedError as error:
            raise LocalStackError(f"The stack cannot start: {error}; repair or unset it.") from error

    def _start_stage(self, stage: tuple[str, ...]) -> None:
        """Start services together and return when all of them are ready."""
        self._output.say(f"Starting {', '.join(stage)} …")
        for name in stage:
            self._services[name].start(clock.monotonic())
        self._record()
        deadline = clock.monotonic() + READY_TIMEOUT_S
        reasons = dict.fromkeys(stage, "not started")
        while reasons:
            self._continue_or_stop()
            self._check_starting()
            for name in list(reasons):
                reason = unreadiness(self._plan.ready_url(name))
                if reason is None:
                    del reasons[name]
                else:
                    reasons[name] = reason
            if reasons and clock.monotonic() > deadline:
                told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
                raise LocalStackError(f"Not ready within {READY_TIMEOUT_S} s: {told}.")
            time.sleep(READY_POLL_S)

    def _check_starting(self) -> None:
        """Keep what was started running; a part that cannot start ends the whole start."""
        for part in self._parts():
            part.check(clock.monotonic())
            if part.state is State.REFUSED:
                self._output.show_end(part.name)
                raise LocalStackError(f"{part.name} refused to start; its reason stands above.")
            if part.crashes >= START_CRASHES_MAX:
                self._output.show_end(part.name)
                raise LocalStackError(
                    f"{part.name} ended {part.crashes} times while starting; its output stands above."
                )

    def _continue_or_stop(self) -> None:
        if self._stopping.is_set():
            raise StopRequestedError

    def _launch_kafka(self) -> Child:
        self._kafka.launch()
        return self._kafka.child

    def _launch(self, name: str) -> Child:
        child = Child(name, self._plan.command(name), environment=self._plan.environment(name))
        self._output.follow(name, child.output)
        return child

    def _record(self) -> None:
        addresses = {"ingest": self._plan.ingest_url, "console": self._plan.console_url, "kafka": self._plan.bootstrap}
        ready = {name: self._plan.ready_url(name) for name in self._plan.ports.admin}
        try:
            record.StackRecord(addresses, self.pids, ready).write(self._plan.data_directory)
        except OSError as error:
            self._output.say(f"{record.FILE_NAME} cannot be written ({error.strerror}); it tells of how things were.")


def unreadiness(ready_url: str) -> str | None:
    """Ask a service why it is not ready; None when it is."""
    try:
        with _DIRECT.open(ready_url, timeout=READY_REQUEST_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as answer:
        return answer.read().decode(errors="replace").strip()
    except (OSError, urllib.error.URLError):
        return "does not answer yet"
