"""Running the local stack for a person or a program: from options to an exit code.

Rule: standard output carries results alone (the ready line in the JSON form), everything else goes to standard error in
that form. Every failure that a person can repair is one line. The first SIGINT, SIGTERM or SIGHUP stops everything in
order; a second one at once. A SIGHUP that whoever started it has it ignore, as nohup does, is none.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import orjson
import platformdirs

from deploy.local.child import Watchdog
from deploy.local.errors import LocalStackError
from deploy.local.output import Output, wants_colour
from deploy.local.plan import StackPlan, StackPorts
from deploy.local.stack import LocalStack, StopRequestedError
from services.runtime import clock
from services.runtime.logs import configure_logs

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CUT_OFF = 130
GUEST_ENDS_ITSELF_S = 1
"""A Ctrl-C reaches the module too; it is told again only if it has not ended by then."""
GUEST_STOP_S = 2
LOG_DIRECTORY = "logs"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What a person chooses. `data_directory` None: the user's data folder, or a temporary one when `ephemeral`."""

    data_directory: Path | None = None
    ephemeral: bool = False
    port_base: int | None = None
    as_json: bool = False
    partitions: int = 8
    evaluators: int = 1
    colour: bool = True
    then: str | None = None
    """A module to run attached to the terminal once the stack is ready; the services' logs go to files meanwhile."""


def run_stack(options: UpOptions) -> int:
    """Run the stack until it is told to stop; return the exit code."""
    stream = sys.stderr if options.as_json or options.then else sys.stdout
    colour = options.colour and wants_colour(stream)
    configure_logs("stack", level="ERROR", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said in words
    stopping = Event()
    try:
        with _data_directory(options) as directory:
            ports = _ports(options).with_evaluators(options.evaluators)
            plan = StackPlan(directory, ports, options.partitions, options.evaluators)
            log_directory = directory / LOG_DIRECTORY if options.then else None
            output = Output(stream, colour=colour, log_directory=log_directory)
            stack = LocalStack(plan, output, stopping)
            with _signals(stopping, stack, directory if options.ephemeral else None):
                return _run(stack, plan, options, output)
    except LocalStackError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED


def _run(stack: LocalStack, plan: StackPlan, options: UpOptions, output: Output) -> int:
    began = clock.monotonic()
    try:
        stack.start()
    except StopRequestedError:
        output.say("Stopped before it was ready.")
        return EXIT_OK
    code = EXIT_OK
    try:
        _announce(stack, plan, options, output, took_s=clock.monotonic() - began)
        if options.then is None:
            stack.watch()
        else:
            code = _watch_with_guest(stack, plan, options.then)
    finally:
        output.say("Stopping …")
        graceful = stack.stop()
        output.say("Stopped." if graceful else "Stopped; something did not stop in time and was ended.")
    return code if graceful else EXIT_FAILED


def _announce(stack: LocalStack, plan: StackPlan, options: UpOptions, output: Output, *, took_s: float) -> None:
    """Say that everything is ready, and where."""
    if options.as_json:
        line = orjson.dumps(
            {
                "ingest": plan.ingest_url,
                "console": plan.console_url,
                "kafka": plan.bootstrap,
                "key": stack.key,
                "pids": stack.pids,
            }
        )
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()
        return
    data = " and removes all data" if options.ephemeral else f"; the data stays in {plan.data_directory}"
    output.say(f"Tidegate is ready ({took_s:.1f} s). Ctrl-C stops it{data}.")
    for what, where in (
        ("Dashboard", plan.console_url),
        ("API", f"{plan.ingest_url}/api/v2"),
        ("Kafka", plan.bootstrap),
        ("API key", stack.key),
    ):
        output.say(f"  {what:<10}{where}")
    if plan.data_directory != _usual_directory():
        output.say(f"Other shells find it after: export TIDEGATE_DATA_DIR={shlex.quote(str(plan.data_directory))}")


def _watch_with_guest(stack: LocalStack, plan: StackPlan, module: str) -> int:
    """Watch the stack while a module runs in the foreground; its failure ends the stack with its exit code."""
    environment = {
        **os.environ,
        **plan.settings(),
        "TIDEGATE_CONSOLE_URL": plan.console_url,
        "TIDEGATE_API_KEY": stack.key,
    }
    guest = subprocess.Popen([sys.executable, "-m", module], env=environment)  # noqa: S603 - named by the person
    failure = EXIT_OK

    def check_guest() -> None:
        nonlocal failure
        code = guest.poll()
        if code not in (None, EXIT_OK):
            failure = code if code > 0 else EXIT_FAILED
            stack.request_stop()

    watchdog = Watchdog(guest.pid)
    try:
        stack.watch(check_guest)
    finally:
        _stop_guest(guest)
        watchdog.end()
    return failure


def _stop_guest(guest: subprocess.Popen[bytes]) -> None:
    """Let the module end by itself, then ask it, then end it."""
    for ask, wait_s in ((None, GUEST_ENDS_ITSELF_S), (guest.terminate, GUEST_STOP_S), (guest.kill, None)):
        if ask is not None:
            ask()
        try:
            guest.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        return


@contextmanager
def _signals(stopping: Event, stack: LocalStack, temporary: Path | None) -> Iterator[None]:
    """Turn the first stop signal into a request, and a second into an end at once; under nohup none is SIGHUP.

    What is `temporary` is removed in either case.
    """

    def on_signal(_number: int, _frame: object) -> None:
        if not stopping.is_set():
            stopping.set()
            return
        stack.kill()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        os._exit(EXIT_CUT_OFF)

    heeded = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        heeded.remove(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _data_directory(options: UpOptions) -> Iterator[Path]:
    """Give the directory that keeps the stack's data; a temporary one is removed at the end."""
    if options.ephemeral:
        if options.data_directory is not None:
            raise LocalStackError("--ephemeral keeps nothing, --data-dir keeps everything there; choose one of them.")
        directory = Path(tempfile.mkdtemp(prefix="tidegate-"))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return
    yield options.data_directory.expanduser().resolve() if options.data_directory else _usual_directory()


def _usual_directory() -> Path:
    """Where every command looks for the stack when nothing is said."""
    return platformdirs.user_data_path("tidegate").expanduser().resolve()


def _ports(options: UpOptions) -> StackPorts:
    return StackPorts.documented() if options.port_base is None else StackPorts.from_base(options.port_base)
