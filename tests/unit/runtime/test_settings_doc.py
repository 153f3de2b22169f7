"""The settings page says what every service reads, all of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.workspace.settings import OperatorSettings
from services.runtime.settings import RuntimeSettings
from tests.unit.runtime.settings_table import DOCUMENT, SERVICES, render, variable

FOLDER = Path(__file__).parents[3] / "services"


def test_the_page_is_what_the_models_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == render(), "run python -m tests.unit.runtime.settings_table"


def test_every_service_with_settings_is_on_the_page() -> None:
    assert {path.parent.name for path in FOLDER.glob("*/settings.py")} == {"runtime", *SERVICES}


@pytest.mark.parametrize("kind", [*SERVICES.values(), OperatorSettings], ids=lambda kind: kind.__name__)
def test_every_variable_is_on_the_page(kind: type[RuntimeSettings]) -> None:
    listed = set(re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert {variable(name, field) for name, field in kind.model_fields.items()} <= listed


@pytest.mark.parametrize("kind", SERVICES.values(), ids=lambda kind: kind.__name__)
def test_every_setting_says_what_it_is_for(kind: type[RuntimeSettings]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
