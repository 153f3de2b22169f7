"""The layout, directions, sizes and words of the house, read from `house.toml` and checked on every file."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.syntax import tree_of

ROOT = Path(__file__).parents[2]
HOUSE: dict[str, Any] = tomllib.loads((ROOT / "tests/tidy/house.toml").read_text())
PRODUCT = sorted(
    path
    for folder in HOUSE["product"]["folders"]
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
)
OURS = ("segmentation", "schemas", "services", "deploy", "tidegate", "tests", "bench", "examples")
TREES = {path: tree_of(path) for path in PRODUCT}


def named(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "clients":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a file imports, also inside functions."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def lies_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_there_is_a_product_to_check() -> None:
    assert len(PRODUCT) > 20


def test_imports_follow_the_directions_of_the_house() -> None:
    directions: dict[str, list[str]] = HOUSE["imports"]
    wrong = []
    for path in PRODUCT:
        module = named(path)
        fitting = [package for package in directions if lies_in(module, package)]
        allowed = directions[max(fitting, key=len)] if fitting else []
        for line, name in imported(path):
            if name.split(".")[0] in OURS and not any(lies_in(name, package) for package in allowed):
                wrong.append(f"{where(path, line)}: {module} must not import {name}")
    assert not wrong, "\n".join(wrong)


def test_the_table_of_the_architecture_says_what_may_be_imported() -> None:
    directions: dict[str, list[str]] = HOUSE["imports"]
    told: set[str] = set()
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("| May import |\n")[2].partition("\n\n")[0]
    for row in table.splitlines()[1:]:
        folders, _, may = row.strip("| ").split(" | ")
        packages = {named(ROOT / folder / "__init__.py") for folder in re.findall(r"`([\w/]+)/`", folders)}
        here = {each for each in directions if any(lies_in(each, package) for package in packages)}
        allowed = {name for each in here for name in directions[each]}
        wanted = {name for name in allowed if not any(lies_in(name, package) for package in packages)}
        if here:
            assert set(re.findall(r"`([\w.]+)`", may)) == wanted, f"the row of {folders} in ARCHITECTURE.md"
        told |= here
    assert told == directions.keys()


def test_the_core_is_pure() -> None:
    core = HOUSE["core"]
    wrong = []
    for path in PRODUCT:
        if not lies_in(named(path), core["package"]):
            continue
        for line, name in imported(path):
            top = name.split(".")[0]
            if top in core["forbidden_modules"] or (top not in sys.stdlib_module_names and top not in OURS):
                wrong.append(f"{where(path, line)}: the core must not import {name}")
        wrong += [
            f"{where(path, node.lineno)}: the core must not call {node.func.id}()"
            for node in ast.walk(TREES[path])
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in core["forbidden_calls"]
        ]
    assert not wrong, "\n".join(wrong)


def test_one_file_reads_the_wall_clock() -> None:
    clock = HOUSE["clock"]
    wrong = []
    for path in PRODUCT:
        if str(path.relative_to(ROOT)) in clock["allowed"]:
            continue
        attributes = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Attribute)]
        reads = [node.lineno for node in attributes if ast.unparse(node) in clock["wall_clock_calls"]]
        reads += [line for line, name in imported(path) if name in clock["wall_clock_calls"]]
        wrong += [f"{where(path, line)}: reads the clock; take an instant as an argument" for line in reads]
    assert not wrong, "\n".join(wrong)


def test_no_module_outgrows_one_idea() -> None:
    limit = HOUSE["sizes"]["module_lines_max"]
    lengths = {path: len(path.read_text().splitlines()) for path in PRODUCT}
    assert not {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > limit}


def test_functions_stay_small() -> None:
    sizes = HOUSE["sizes"]
    lengths = {
        f"{where(path, node.lineno)} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in lengths.items() if lines > sizes["function_lines_max"]}
    usual = sum(lines <= sizes["function_lines_usual"] for lines in lengths.values())
    assert usual >= sizes["function_usual_share"] * len(lengths)


def test_no_file_is_a_drawer() -> None:
    drawers = set(HOUSE["names"]["drawers"])
    everywhere = [*PRODUCT, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    assert not [
        str(path.relative_to(ROOT))
        for path in everywhere
        if drawers & {part.lower() for part in (*path.relative_to(ROOT).parts[:-1], path.stem)}
    ]


@pytest.mark.parametrize("package", HOUSE["maps"]["packages"])
def test_a_full_package_has_a_map_that_names_each_module_once(package: str) -> None:
    text = ast.get_docstring(TREES[ROOT / package / "__init__.py"]) or ""
    lines = re.findall(r"^    (\w+(?:, \w+)*)(?=: |$)", text, re.MULTILINE)
    entries = [path for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert sorted(", ".join(lines).split(", ")) == sorted(e.stem for e in entries if not e.name.startswith("_"))


def defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_names_are_the_words_of_the_glossary() -> None:
    glossary: dict[str, str] = HOUSE["names"]["glossary"]
    wrong = [
        f"{where(path, line)}: {name}: say {glossary[word]}, not {word}"
        for path, tree in TREES.items()
        for line, name in defined_names(tree)
        for word in sorted(words(name) & glossary.keys())
    ]
    assert not wrong, "\n".join(wrong)


def test_topics_are_named_in_one_place() -> None:
    from schemas.topics import Topic

    names = {str(topic.value) for topic in Topic}
    # These are ordinary words of the HTTP interface and the command line too.
    names -= {"segments", "attributes", "memberships", "webhooks", "dead-letters"}
    wrong = [
        f"{where(path, node.lineno)}: {node.value!r} is named in schemas/topics.py"
        for path, tree in TREES.items()
        if path.name != "topics.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert not wrong, "\n".join(wrong)


def test_consumer_groups_are_named_in_one_place() -> None:
    from schemas.groups import EVALUATOR_GROUP, SCHEDULER_GROUP, WEBHOOK_GROUPS

    # By itself the first is the service's name too; after a prefix it is the group's.
    joined, alone = {EVALUATOR_GROUP, SCHEDULER_GROUP, WEBHOOK_GROUPS}, {SCHEDULER_GROUP, WEBHOOK_GROUPS}
    wrong = [
        f"{where(path, part.lineno)}: {part.value!r} is named in schemas/groups.py"
        for path, tree in TREES.items()
        if path.name != "groups.py"
        for node in ast.walk(tree)
        for part in (node.values[1:] if isinstance(node, ast.JoinedStr) else [node])
        if isinstance(part, ast.Constant) and part.value in (joined if isinstance(node, ast.JoinedStr) else alone)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/glossary.md"])
def test_the_documents_a_newcomer_reads_are_there(name: str) -> None:
    assert len((ROOT / name).read_text()) > 500


def test_every_decision_says_why() -> None:
    for path in (ROOT / "docs/decisions").glob("*.md"):
        text = path.read_text().lower()
        assert re.match(r"\d{4}-", path.name), path.name
        assert "why" in text or "because" in text, f"{path.name} does not say why"


def superseded() -> Iterator[tuple[Path, int, str]]:
    """Each decision that says it is superseded: its file, the line's number from 1, the later decision's number."""
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "superseded by" in line.lower():
                said = re.fullmatch(r"Superseded by (\d{4})\.", line)
                yield path, number, said[1] if said else line


def test_a_superseded_decision_names_the_later_one_right_under_its_title() -> None:
    there = {path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")}
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {later}"
        for path, number, later in superseded()
        if number != 3 or later not in there or later <= path.name[:4]
    ]
    assert list(superseded()), "no decision says what supersedes it: the words have changed"
    assert not wrong, "\n".join(wrong)


def test_every_folder_of_tests_has_one_row_that_says_what_belongs_there() -> None:
    rows = re.findall(r"^\| `(\w+)/` \|", (ROOT / "tests/README.md").read_text(), re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*") if path.parent.name != "__pycache__"}
    assert sorted(rows) == sorted(folders)
