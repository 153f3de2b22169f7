"""The operator's page names every process with its ports, and what is in the data folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.local import local_key, record
from deploy.local.plan import StackPorts
from deploy.local.up import LOG_DIRECTORY
from services.evaluator.settings import EvaluatorSettings
from services.ingest.request_log import STORE_FILE
from services.runtime.audit import AUDIT_FILE_NAME
from services.runtime.keys import KEY_FILE_NAME
from tests.unit.runtime.settings_table import SERVICES

PAGE = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
LOCAL = StackPorts.documented()
PUBLIC = {"ingest": LOCAL.ingest, "evaluator": LOCAL.read_api, "console": LOCAL.console, "webhooks": LOCAL.webhooks}


@pytest.mark.parametrize("service", LOCAL.admin)
def test_every_process_is_listed_with_its_ports(service: str) -> None:
    (row,) = re.findall(rf"^\| {service} \| `python -m services\.{service}` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    public, admin = row
    assert public.partition(":")[0] == str(PUBLIC.get(service, "none"))
    usual = SERVICES[service]().admin_port
    assert re.findall(r"\d+", admin.partition(",")[0]) == [
        str(port) for port in dict.fromkeys((usual, LOCAL.admin[service]))
    ]


def test_everything_in_the_data_folder_is_named() -> None:
    (section,) = re.findall(r"^## The data folder of the local stack\n(.+?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    settings = EvaluatorSettings()
    files = (KEY_FILE_NAME, AUDIT_FILE_NAME, STORE_FILE, local_key.FILE_NAME, record.FILE_NAME)
    folders = (settings.state_dir.name, settings.checkpoint_dir.name, "imports", "kafka", LOG_DIRECTORY)
    named = {*files, *(f"{folder}/" for folder in folders)}
    assert {name for name in named if f"`{name}`" not in section} == set()
