"""`docs/settings.md`, written from the settings models: `python -m tests.unit.runtime.settings_table`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from services.console.settings import ConsoleSettings
from services.evaluator.settings import EvaluatorSettings
from services.ingest.settings import IngestSettings
from services.runtime.settings import ENV_PREFIX, PublicSettings, RuntimeSettings
from services.scheduler.settings import SchedulerSettings
from services.webhooks.settings import WebhookSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"
SERVICES: dict[str, type[RuntimeSettings]] = {
    "ingest": IngestSettings,
    "evaluator": EvaluatorSettings,
    "scheduler": SchedulerSettings,
    "console": ConsoleSettings,
    "webhooks": WebhookSettings,
}
SHARED: dict[str, type[RuntimeSettings]] = {
    "Every service": RuntimeSettings,
    "Ingest, console and webhooks": PublicSettings,
}
OF_THE_MACHINE = {"data_dir": "`tidegate` in the user's data folder"}
"""Defaults that are made where the process runs."""
INTRODUCTION = """\
# Settings

Each process reads its settings from environment variables, once, at its start; an unusable value refuses the start with
a line that names the variable. A variable that several services read means the same to each; only the admin port has
another default in each. `tidegate admin` and `tidegate doctor` read the variables of the services that they are about;
what the commands read besides is in [command-line.md](command-line.md).

This page is written from the code: `python -m tests.unit.runtime.settings_table`.
"""


def render() -> str:
    """Return the page as it should be."""
    sections = [INTRODUCTION]
    everywhere = set.intersection(*(set(own_fields(kind)) for kind in SERVICES.values()))
    for title, kind in (*SHARED.items(), *((name.capitalize(), kind) for name, kind in SERVICES.items())):
        hidden = everywhere if kind is RuntimeSettings else set()
        rows = "\n".join(_row(name, field) for name, field in own_fields(kind).items() if name not in hidden)
        sections.append(
            f"## {title}\n\n| Variable | Default | May be | What it is for |\n| --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(sections)


def own_fields(kind: type[RuntimeSettings]) -> dict[str, FieldInfo]:
    """The settings that a model has itself or gives another default."""
    return {name: field for name, field in kind.model_fields.items() if name in kind.__annotations__}


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    return field.validation_alias if isinstance(field.validation_alias, str) else ENV_PREFIX + name.upper()


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{variable(name, field)}` | {_default(name, field)} | {_allowed(field)} | {field.description} |"


def _default(name: str, field: FieldInfo) -> str:
    if name in OF_THE_MACHINE:
        return OF_THE_MACHINE[name]
    value: Any = field.default
    if value is None or value == "":
        return "none" if value is None else "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """The values of a setting that has few, or its bounds. Units: inclusive."""
    if field.annotation is bool:
        return "`true`, `false`"
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    least = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    most = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    if least is None:
        return ""
    return f"from {least:,}" if most is None else f"{least:,} to {most:,}"


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
