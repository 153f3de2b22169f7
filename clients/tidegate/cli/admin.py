"""`tidegate admin`: what an operator does to a whole workspace.

Rule: this module reads options and prints; `deploy.workspace` does the work. It talks to Kafka and to disks, not to the
public API, so it needs the services' dependencies and their variables instead of a key.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from deploy.workspace.backup import Backup, restore_backup, write_backup
from deploy.workspace.broker import Broker, connected
from deploy.workspace.clearing import DROPPABLE, Cleared, ClearOptions, clear_erased
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.evaluators import owners, take_checkpoints
from deploy.workspace.moving import Move, Moved, MoveOptions
from deploy.workspace.settings import OperatorSettings, operator_settings
from schemas.topics import PARTITIONS_MAX, Topic
from services.runtime import clock
from services.runtime.errors import ServiceError
from tidegate.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, AsJson
from tidegate.cli.output import advise, complain, print_json, say

app = typer.Typer(
    help="Operate a whole workspace, on its broker and disks.", no_args_is_help=True, add_completion=False
)

EXIT_WRONG_OPTION: Final = 2
KAFKA_LOGGERS: Final = ("aiokafka", "tidegate.kafka")

Result = TypeVar("Result")


@app.callback()
def admin() -> None:
    """Operate a whole workspace, on its broker and disks."""


def _work(work: Callable[[Broker, OperatorSettings], Awaitable[Result]]) -> Result:
    """Run one piece of work against the workspace's broker; a failure is told in words and ends the command.

    So does whoever ends it: what was changed for its time, such as a topic's settings, is first put back.
    """
    # What fails is said in words at the end. Without handlers Python prints what the clients log of it besides.
    for logger in KAFKA_LOGGERS:
        logging.getLogger(logger).addHandler(logging.NullHandler())

    async def run() -> Result:
        _heed_ends()
        settings = operator_settings()
        async with connected(settings) as broker:
            return await work(broker, settings)

    try:
        return asyncio.run(run())
    except ServiceError as error:
        complain(str(error))
        raise typer.Exit(EXIT_REFUSED) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _heed_ends() -> None:
    """Have the task that calls end when the process is told to stop, or its terminal is gone.

    Each signal asks anew, since one that comes while a connection is being closed may be lost there. What is put back
    hears none of them, so whoever asks again is told so, and how to end at once.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        return
    asked = itertools.count()

    def end() -> None:
        if next(asked):
            advise(
                "what was changed for the time of this command is being put back first; "
                f"kill -9 {os.getpid()} ends it at once and leaves that as it is (docs/operating.md)"
            )
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(number, end)


@app.command()
def repartition(
    to: Annotated[int, typer.Option(min=1, max=PARTITIONS_MAX, help="How many partitions the workspace gets.")],
    to_prefix: Annotated[str, typer.Option(help="Topic prefix of the new topics, for example `v2-`.")],
    left: Annotated[
        list[str] | None, typer.Option("--leave-group", help="A consumer group that nobody will read with again.")
    ] = None,
    wait_s: Annotated[float, typer.Option(help="How long to wait for evaluators and consumers to catch up.")] = 120.0,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Let a workspace take writes again after a killed move.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move the workspace to another number of partitions, members and versions kept. May be repeated after any end."""

    async def move(broker: Broker, settings: OperatorSettings) -> Moved | None:
        options = MoveOptions(to_prefix, to, settings.scheduler_group, frozenset(left or ()), wait_s)
        moving = Move(broker, settings, options, (lambda _: None) if as_json else say)
        if cancel:
            await moving.cancel()
            return None
        return await moving.run()

    moved = _work(move)
    if moved is None:
        say("The workspace takes writes again.")
    elif as_json:
        print_json(
            {
                "contacts": moved.contacts,
                "members": moved.members,
                "groups": moved.groups,
                "partitions": moved.target.partitions,
                "prefix": moved.target.prefix,
                "sealed_seconds": round(moved.sealed_s, 3),
            }
        )
    else:
        say(
            f"Moved {moved.contacts:,} contacts and {moved.members:,} members; "
            f"writes were refused for {moved.sealed_s:.1f} s."
        )
        say(f"Start every service and consumer again with TIDEGATE_TOPIC_PREFIX={moved.target.prefix}")
        say(
            f"and TIDEGATE_PARTITIONS={moved.target.partitions}. Groups that go on behind the copies: "
            f"{', '.join(moved.groups) or 'none'}."
        )


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Copy the state of every partition, consistent and while it is in use, and the files that no topic holds."""

    async def take(broker: Broker, settings: OperatorSettings) -> Backup:
        checkpoints = await take_checkpoints(await owners(broker, settings.topic_prefix))
        stopping = threading.Event()
        try:
            return await asyncio.to_thread(write_backup, target, checkpoints, settings.data_dir, stopping)
        finally:
            stopping.set()  # whoever is cancelled leaves a thread that is still at work, and that the command waits for

    made = _work(take)
    _tell(made, as_json, f"Wrote {target}")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A backup.")],
    data_dir: Annotated[Path, typer.Option(help="The data directory to fill; it must hold no state.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty data directory; the evaluator that starts there reads the rest from the changelogs."""
    try:
        restored = restore_backup(source, data_dir, clock.now_ms())
    except OperationRefusedError as error:
        complain(str(error))
        raise typer.Exit(EXIT_REFUSED) from error
    if missing := restored.backup.missing:
        advise(
            f"partitions {missing} of {restored.backup.partition_count} are not in the backup: the evaluator "
            "rebuilds them from the changelogs"
        )
    if restored.left:
        advise(
            f"{data_dir} had {', '.join(restored.left)} already, left as they are: to have those of the backup, copy "
            f"them from {source}"
        )
    _tell(restored.backup, as_json, f"Restored to {data_dir}")


@app.command("clear-erased")
def clear(
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", help=f"A topic to empty whole: {', '.join(DROPPABLE)}; may be repeated."),
    ] = None,
    imports: Annotated[bool, typer.Option("--imports", help="Remove ended imports with their reports.")] = False,
    left: Annotated[
        list[str] | None, typer.Option("--leave-group", help="A consumer group that nobody will read with again.")
    ] = None,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the broker's cleaner.")] = 180.0,
    as_json: AsJson = False,
) -> None:
    """Take what was erased off the disks now: compact stores and topics, and drop what is named."""
    unknown = sorted(set(drop or ()) - set(DROPPABLE))
    if unknown:
        complain(f"--drop takes {', '.join(DROPPABLE)}; {unknown[0]} holds what is in force")
        raise typer.Exit(EXIT_WRONG_OPTION)
    options = ClearOptions(frozenset(map(Topic, drop or ())), imports, frozenset(left or ()), wait_s)

    async def work(broker: Broker, settings: OperatorSettings) -> Cleared:
        return await clear_erased(broker, settings, options, (lambda _: None) if as_json else say)

    cleared = _work(work)
    if as_json:
        print_json(asdict(cleared))
        return
    say(f"Records on compacted topics: {cleared.records_before:,} before, {cleared.records_after:,} after.")
    for name, count in sorted(cleared.dropped.items()):
        say(f"Dropped {count:,} records of {name}.")
    if imports:
        say(f"Removed {cleared.imports:,} imports.")


def _tell(found: Backup, as_json: bool, said: str) -> None:
    facts = {"contacts": found.contacts, "partitions": len(found.partitions), "files": len(found.files)}
    if as_json:
        print_json(facts)
    else:
        say(f"{said}: {found.contacts:,} contacts in {len(found.partitions)} partitions, {len(found.files)} files.")
