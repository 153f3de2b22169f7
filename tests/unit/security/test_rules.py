"""Rules of docs/security.md that are about no single module: keys in rotation, what is switched off, what is locked."""

from __future__ import annotations

import ast
import hmac
import json
import re
import tomllib
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from services.evaluator.owner import PartitionOwner
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.transport import create_app
from services.runtime.keys import KeyFile, Scope
from tests.syntax import tree_of

ROOT = Path(__file__).parents[3]
PRODUCT = ("segmentation", "schemas", "services", "clients/tidegate", "deploy")
GENERATED_TRUTH = "segmentation/expression/compiler.py"
"""Truth is code that this module writes from the syntax tree; values and names reach it as arguments only."""


def test_two_keys_are_good_side_by_side_so_that_one_can_replace_the_other(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    old, new = (keys.create("crm", {Scope.CONTACTS_WRITE}) for _ in range(2))
    assert keys.verify(old.token) == old.key
    assert keys.verify(new.token) == new.key
    keys.revoke(old.key.id)
    assert keys.verify(old.token) is None
    assert keys.verify(new.token) == new.key


def test_a_secret_is_compared_in_constant_time_also_for_a_key_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    in_constant_time = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return in_constant_time(one, other)

    monkeypatch.setattr("services.runtime.keys.hmac.compare_digest", compare)
    keys = KeyFile(tmp_path / "keys.json")
    made = keys.create("crm", {Scope.ADMIN})
    for token in (made.token, made.token[:-1] + "!", "tg_00000000_nobody"):
        keys.verify(token)
    assert len(compared) == 3
    assert all(len(one) == len(other) == 64 for one, other in compared)


async def test_fausts_web_server_is_off() -> None:
    app = create_app(EvaluatorSettings(), create_autospec(PartitionOwner, instance=True))
    assert app.conf.web_enabled is False


def test_text_is_made_into_code_in_one_place_and_nowhere_from_a_persons_text() -> None:
    found = {
        f"{path.relative_to(ROOT)}"
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"eval", "exec", "compile"}
    }
    assert found == {GENERATED_TRUTH}


def test_the_language_has_no_regular_expressions() -> None:
    patterns = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "segmentation").rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func).startswith("re.")
        and not isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp | ast.Name)
    ]
    assert not patterns, "a pattern must be the module's own text"


def test_every_python_dependency_is_locked_with_hashes() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    assert len(packages) > 80
    for package in packages:
        if "registry" not in package["source"]:
            assert package["name"] == "tidegate", package["name"]
            continue
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]


def test_every_node_dependency_is_locked_with_its_digest() -> None:
    packages = json.loads((ROOT / "clients/dashboard/package-lock.json").read_text())["packages"]
    assert len(packages) > 50
    for name, package in packages.items():
        if name and not package.get("link"):
            assert package.get("inBundle") or re.match(r"sha512-.{80,}", package.get("integrity", "")), name
