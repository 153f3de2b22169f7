"""`docs/metrics.md`, written from what the services register: `python -m tests.unit.runtime.metrics_table`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
MODULES = {
    "Every process": "services.runtime.metrics",
    "Ingest": "services.ingest.metrics",
    "Evaluator": "services.evaluator.measures",
    "Scheduler": "services.scheduler.metrics",
    "Console": "services.console.follow",
    "Webhooks": "services.webhooks.metrics",
}
INTRODUCTION = """\
# Metrics

Each process serves its metrics in Prometheus' text form at `/metrics` on its admin port, beside `/live` and `/ready`.
Names are `tidegate_<noun>_<unit>[_total]`; labels are bounded sets, never a contact, an attribute or a value. The
standard `process_*` and `python_gc_*` series come with every process.

This page is written from the code: `python -m tests.unit.runtime.metrics_table`.
"""


def render() -> str:
    """Return the page as it should be."""
    sections = [INTRODUCTION]
    for title, name in MODULES.items():
        rows = "\n".join(_row(metric) for metric in registered(import_module(name)))
        sections.append(f"## {title}\n\n| Metric | Kind | Labels | What it says |\n| --- | --- | --- | --- |\n{rows}\n")
    return "\n".join(sections)


def registered(module: ModuleType) -> list[MetricWrapperBase]:
    """Return the metrics that a module defines, in its order."""
    return [value for value in vars(module).values() if isinstance(value, Counter | Gauge | Histogram)]


def _row(metric: MetricWrapperBase) -> str:
    family = next(iter(metric.describe()))
    name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
