"""The AsyncAPI document, judged by `@asyncapi/parser`.

Rule: where there is no Node this is told as not run, or is a failure: see `tests.node`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.catalogue import CHANNELS
from schemas.generate import HERE as SCHEMAS
from tests import node

HERE = Path(__file__).parent
JUDGE_S = 60
Plant = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def parser() -> Path:
    """The script, with the parser that its lock file names installed beside it."""
    node.require(HERE, "the judgement of the AsyncAPI document")
    return HERE / "asyncapi.mjs"


def judged(parser: Path, document: Path) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        ["node", str(parser), str(document)], cwd=HERE, capture_output=True, text=True, timeout=JUDGE_S, check=False
    )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.timeout(node.INSTALL_S + JUDGE_S)
def test_the_document_and_every_schema_it_refers_to_are_valid(parser: Path) -> None:
    code, found = judged(parser, SCHEMAS / "asyncapi.yaml")
    assert code == 0, found
    messages = sum(len(channel.messages) for channel in CHANNELS.values())
    assert found[-1] == {"valid": True, "channels": len(CHANNELS), "messages": messages}


def lose_a_schema(document: dict[str, Any]) -> None:
    document["components"]["messages"]["memberships.MembershipChangeRecord"]["payload"]["$ref"] = "./json/none.json"


def lose_a_channel(document: dict[str, Any]) -> None:
    del document["channels"]["memberships"]


def act_otherwise(document: dict[str, Any]) -> None:
    document["operations"]["readMemberships"]["action"] = "consume"


def bind_otherwise(document: dict[str, Any]) -> None:
    document["channels"]["memberships"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] = "compact"


@pytest.mark.timeout(node.INSTALL_S + JUDGE_S)
@pytest.mark.parametrize("plant", [lose_a_schema, lose_a_channel, act_otherwise, bind_otherwise])
def test_a_document_with_a_planted_fault_is_refused(parser: Path, plant: Plant, tmp_path: Path) -> None:
    document = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text())
    plant(document)
    shutil.copytree(SCHEMAS / "json", tmp_path / "json")
    (tmp_path / "asyncapi.yaml").write_text(yaml.safe_dump(document))
    code, found = judged(parser, tmp_path / "asyncapi.yaml")
    assert code == 1, found
