"""The metrics page says what the code registers, all of it and nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from tests.unit.runtime.metrics_table import DOCUMENT, MODULES, registered, render

SERVICES = Path(__file__).parents[3] / "services"
REGISTRATION = re.compile(r"\b(?:counter|gauge|histogram)\(\s*\"(tidegate_[a-z0-9_]+)\"")


def test_the_page_is_what_the_code_registers() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run python -m tests.unit.runtime.metrics_table"


def test_every_metric_of_every_service_is_on_the_page() -> None:
    written = {name for path in SERVICES.rglob("*.py") for name in REGISTRATION.findall(path.read_text("utf-8"))}
    listed = {
        next(iter(metric.describe())).name for name in MODULES.values() for metric in registered(import_module(name))
    }
    assert written == listed
