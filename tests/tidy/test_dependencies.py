"""What our files import is declared where they need it, and what is declared is used. The table is in `house.toml`."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.syntax import tree_of
from tests.tidy.test_house import HOUSE, OURS, ROOT, lies_in

RULES = HOUSE["dependencies"]


@cache
def declared() -> dict[str, set[str]]:
    """The distributions that each list of `pyproject.toml` names."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = read["project"]
    lists = {"base": project["dependencies"], **project["optional-dependencies"], **read["dependency-groups"]}
    return {name: {distribution_of(each) for each in requirements} for name, requirements in lists.items()}


def distribution_of(requirement: str) -> str:
    return canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0])


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def files() -> list[tuple[str, Path]]:
    """Every file of ours, with the folder whose rule it keeps."""
    return [
        (folder, path)
        for folder in RULES["folders"]
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "node_modules" not in path.parts
    ]


@cache
def imported(path: Path) -> list[tuple[int, str]]:
    """Line and distribution of everything that others make and this file imports, also inside functions."""
    return [
        (line, brought_by(name))
        for line, name in names_in(path)
        if (top := name.split(".")[0]) not in OURS and top not in sys.stdlib_module_names
    ]


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def brought_by(module: str) -> str:
    """The distribution that brings a module: of its own name, unless the table says otherwise."""
    named: dict[str, str] = RULES["named"]
    fitting = [prefix for prefix in named if lies_in(module, prefix)]
    return named[max(fitting, key=len)] if fitting else canonical(module.split(".")[0])


def allowed(folder: str, path: Path) -> set[str]:
    development = RULES["development"]
    lists = set(RULES["folders"][folder])
    if path.relative_to(ROOT).as_posix() in development["files"]:
        lists |= set(development["lists"])
    return set().union(*(declared()[name] for name in lists))


def test_what_is_imported_is_declared_where_it_is_needed() -> None:
    wrong = []
    for folder, path in files():
        may = allowed(folder, path)
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {distribution} is not declared for {folder}"
            for line, distribution in imported(path)
            if distribution not in may
        ]
    assert not wrong, "\n".join(wrong)


def test_what_is_declared_is_imported_or_run() -> None:
    used = {distribution for _, path in files() for _, distribution in imported(path)}
    everything = set().union(*declared().values())
    run = set(RULES["run"])
    assert sorted(everything - used - run) == [], "declared, and used by nobody"
    assert sorted(run - everything) == [], "said to be run, and not declared"
    assert sorted(run & used) == [], "said to be run only, and imported"


def test_the_table_of_names_has_nothing_that_no_file_imports() -> None:
    used = {distribution for _, path in files() for _, distribution in imported(path)}
    assert set(RULES["named"].values()) <= used


def test_every_list_belongs_to_a_folder() -> None:
    assert set().union(*RULES["folders"].values()) == declared().keys()


def test_the_source_archive_holds_what_is_installed_and_no_folder_that_is_only_called_so() -> None:
    """A pattern without a slash in front takes `tests/services` along with `services`."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["sdist"]["include"] == [f"/{each}" for each in (*targets["wheel"]["packages"], "README.md")]


def test_clean_removes_every_folder_that_git_leaves_out() -> None:
    left_out = {
        f"{file.parent.relative_to(ROOT)}/{line}".removeprefix("./").rstrip("/")
        for file in (ROOT / ".gitignore", ROOT / "examples/consumers/java/.gitignore")
        for line in file.read_text().splitlines()
        if line.endswith("/") and line != "__pycache__/"
    }
    removed = set(re.findall(r"^\t@rm -rf (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    names = {name for line in removed for name in line.split()}
    assert {name if name != "node_modules" else f"clients/dashboard/{name}" for name in left_out} == names


def test_any_python_that_the_readme_names_is_installed_into() -> None:
    """A pinned version would be fetched, from beyond the package registries, where the machine has another of them."""
    (first, last) = re.findall(
        r"^Python (3\.\d+) to (3\.\d+); nothing else\.", (ROOT / "README.md").read_text(), re.MULTILINE
    )[0]
    beyond = f"3.{int(last.removeprefix('3.')) + 1}"
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert read["project"]["requires-python"] == f">={first},<{beyond}"
    assert not (ROOT / ".python-version").exists()
