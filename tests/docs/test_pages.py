"""Every command in the README and in the documentation does what the page says, on a real running system."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs import settings
from tests.docs.blocks import ROOT, Block, blocks, pages
from tests.docs.shell import Reader, differences, tell
from tests.e2e.conftest import RunningSystem, running

pytestmark = pytest.mark.timeout(1_200)  # a page's commands one after another, each with its own limit
EXECUTED = [page for page in pages() if any(each.is_command or each.language == "python" for each in blocks(page))]
ALL = [block for page in pages() for block in blocks(page)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """One running system for all pages."""
    with running(tmp_path_factory.mktemp("documented")) as started:
        yield started


@pytest.fixture
def reader(system: RunningSystem, tmp_path: Path) -> Iterator[Reader]:
    """Somebody with the project in front of them."""
    somebody = Reader(system, tmp_path)
    yield somebody
    somebody.close()


@pytest.mark.broker
@pytest.mark.parametrize("page", EXECUTED)
def test_every_command_of_a_page_works(page: str, reader: Reader) -> None:
    for name, content in settings.FILES.get(page, {}).items():
        (reader.folder / name).write_text(content, encoding="utf-8")
    for command in settings.BEFORE.get(page, ()):
        reader.run(Block(page, 0, "sh", frozenset(), {}, command))
    names: dict[str, Any] = dict(settings.NAMES.get(page, {}))
    printed = ""
    for block in blocks(page):
        if block.is_output:
            assert differences(block.text, printed) == [], f"{block} shows what was not printed:\n{printed}"
        elif "elsewhere" in block.options:
            tell(f"{block}: elsewhere: {block.options['elsewhere']}")
        elif block.is_command:
            for line in block.text.splitlines():
                tell(f"{block}: {line}")
            if "serves" in block.flags:
                reader.serve(block)
            else:
                printed = reader.run(block)
        elif block.language == "python":
            tell(f"{block}: python, {len(block.text.splitlines())} lines")
            printed = reader.python(block, names)
    for check in settings.AFTER.get(page, ()):
        check(names)


@pytest.mark.parametrize("block", [each for each in ALL if "elsewhere" in each.options], ids=str)
def test_what_is_not_run_here_at_least_exists(block: Block) -> None:
    for command in re.sub(r"\\\n", " ", block.text).splitlines():
        for target in re.findall(r"^\s*make ([a-z-]+)", command):
            subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)
        for path in re.findall(r"(?<![\w.:/-])(?:deploy|examples|docs|bench|schemas|clients)/[\w./-]*\w", command):
            assert (ROOT / path).exists(), f"{block} names {path}, which does not exist"
        for module in re.findall(r"python -m ((?:bench|services|examples|schemas|deploy)[\w.]*)", command):
            place = ROOT / module.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").exists(), f"{block} names {module}, which does not exist"


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "json"], ids=str)
def test_json_that_is_shown_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("page", pages())
def test_every_block_says_its_language_and_nothing_unknown(page: str) -> None:
    known = {
        "sh",
        "python",
        "json",
        "text",
        "mermaid",
        "eval",
        "refused",
        "yaml",
        "http",
        "java",
        "sql",
        "csv",
        "promql",
    }
    for block in blocks(page):
        assert block.language in known, f"{block} has the language {block.language!r}"
        assert block.flags <= {"output", "serves"}, f"{block} asks for {set(block.flags)}"
        assert set(block.options) <= {"elsewhere", "until"}, f"{block} asks for {set(block.options)}"


@pytest.mark.parametrize("page", pages())
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def anchors(page: Path) -> set[str]:
    """What a link behind `#` may name: each heading as GitHub writes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*pages(), "ARCHITECTURE.md"])
def test_links_to_a_heading_lead_to_one(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s:]*\.md)?#([^)]+)\)", text):
        other = (ROOT / page).parent / target if target else ROOT / page
        assert anchor in anchors(other), f"{page} links to {target}#{anchor}"


@pytest.mark.parametrize(
    ("expected", "printed", "missing"),
    [
        ("a\nb", "a\nb", []),
        ("a … c", "x\na bbb c", []),
        ("a\nc", "c\na", ["c"]),
        ("a", "ab", ["a"]),
        ("n: …", "n: 5\n", []),
    ],
)
def test_documented_output_is_compared_line_by_line(expected: str, printed: str, missing: list[str]) -> None:
    assert differences(expected, printed) == missing
