"""`tidegate up`: the whole system on this machine, with a real Kafka broker, until Ctrl-C.

Rule: this module reads options; `deploy.local` does the work. It needs the services' dependencies. The data folder is
named as it is to every other command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.local.plan import EVALUATORS_MAX, PORT_BASE_MAX, PORT_BASE_MIN
from deploy.local.up import UpOptions, run_stack
from schemas.topics import PARTITIONS_MAX
from tidegate.cli.connection import DATA_DIR_VARIABLE

app = typer.Typer(add_completion=False)


@app.command()
def up(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar=DATA_DIR_VARIABLE, help="Keep data here. Default: Tidegate's folder in the user's data folder."
        ),
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep nothing: data is removed at the end.")] = False,
    port_base: Annotated[
        int | None,
        typer.Option(
            min=PORT_BASE_MIN,
            max=PORT_BASE_MAX,
            help="Ingest on N, console N+1, evaluator reads N+2, Kafka N+3, its controller N+4, webhooks N+5, metrics "
            "from N+10. Default: 8080, 8081, 8082, 9092, 9095, 8083, and 9090, 9091, 9093, 9094, 9096.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready; everything else goes to standard error.")
    ] = False,
    partitions: Annotated[
        int, typer.Option(min=1, max=PARTITIONS_MAX, help="Partitions of the topics; fixed when they are created.")
    ] = 8,
    evaluators: Annotated[
        int, typer.Option(min=1, max=EVALUATORS_MAX, help="Evaluators that share the partitions; may differ each time.")
    ] = 1,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour, also on a terminal.")] = False,
    then: Annotated[
        str | None, typer.Option(metavar="MODULE", help="Run this Python module on the terminal once all is ready.")
    ] = None,
) -> None:
    """Start Kafka and the five services on this machine, and keep them running until Ctrl-C."""
    source = context.get_parameter_source("data_dir")
    is_from_environment = source is not None and source.name == "ENVIRONMENT"
    raise typer.Exit(
        run_stack(
            UpOptions(
                data_directory=None if ephemeral and is_from_environment else data_dir,
                ephemeral=ephemeral,
                port_base=port_base,
                as_json=as_json,
                partitions=partitions,
                evaluators=evaluators,
                colour=not no_color,
                then=then,
            )
        )
    )
