"""docs/security.md names for each rule the tests that hold it, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "security.md"
ITEMS = {
    "Keys",
    "Scopes",
    "Bodies",
    "Rate limits",
    "CSV",
    "Expressions",
    "Browser",
    "Audit",
    "Webhooks",
    "Logs and metrics",
    "Erasure",
    "Kafka",
    "Faust web",
    "Supply chain",
    "Container",
    "Network",
    "API contract",
}
NAMED = re.compile(r"`(?P<file>tests/[^`]+?)::(?P<name>[^`]+)`")


def rows() -> dict[str, str]:
    """The whole row of each item of the table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    found = {line.split("|")[1].strip(): line for line in lines}
    return {item: line for item, line in found.items() if item not in {"Item", "---"}}


def exists(file: str, name: str) -> bool:
    """Whether a file has a test of that name: a function in Python, a title in JavaScript."""
    path = ROOT / file
    if not path.exists():
        return False
    text = path.read_text()
    if path.suffix == ".py":
        return re.search(rf"^(async )?def {re.escape(name)}\(", text, re.MULTILINE) is not None
    return f'test("{name}"' in text


def test_every_rule_has_a_row_and_every_row_a_test_that_exists() -> None:
    assert rows().keys() == ITEMS
    for item, row in rows().items():
        named = NAMED.findall(row)
        assert named, f"{item} names no test"
        for file, name in named:
            assert exists(file, name), f"{item}: {file}::{name} does not exist"


def test_a_test_that_is_gone_would_be_noticed() -> None:
    assert exists("tests/unit/security/test_page.py", "test_a_test_that_is_gone_would_be_noticed")
    assert not exists("tests/unit/security/test_page.py", "test_a_test_that_never_was")
    assert not exists("tests/unit/security/gone.py", "test_a_test_that_is_gone_would_be_noticed")
