"""The dashboard that is served is the one that the sources build, small, and safe to show hostile values in."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.console.page import DASHBOARD
from tests.services.console.evaluators import World

SOURCES = Path(__file__).parents[3] / "clients" / "dashboard"
BUILT_FROM = ("index.html", "package-lock.json", "package.json", "scripts", "src", "tsconfig.json", "vite.config.ts")
FIRST_LOAD_BYTES_MAX = 250_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()


def source_files() -> Iterator[str]:
    for name in BUILT_FROM:
        path = SOURCES / name
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                yield file.relative_to(SOURCES).as_posix()


def test_the_built_dashboard_was_built_from_these_sources() -> None:
    digest = hashlib.sha256()
    for name in sorted(source_files()):
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    recorded = json.loads((DASHBOARD / "build.json").read_text())["sources_sha256"]
    assert recorded == digest.hexdigest(), (
        "the built dashboard is stale: run `make dashboard` and commit what it builds"
    )


def first_load() -> list[str]:
    entry = (DASHBOARD / "index.html").read_text()
    return re.findall(r'(?:src|href)="/(assets/[^"]+)"', entry)


def test_the_first_load_stays_within_its_budget() -> None:
    packed = sum(len(gzip.compress((DASHBOARD / name).read_bytes())) for name in ["index.html", *first_load()])
    assert 0 < packed <= FIRST_LOAD_BYTES_MAX


def test_the_lock_names_no_place_to_download_from() -> None:
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()


def test_no_markup_is_made_from_text() -> None:
    written = [path for path in (SOURCES / "src").rglob("*.ts*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        for forbidden in ("dangerouslySetInnerHTML", "innerHTML", "insertAdjacentHTML", "eval(", "document.write"):
            assert forbidden not in path.read_text(), f"{path.name} uses {forbidden}"


async def test_every_file_of_the_first_load_is_served_packed_and_kept(world: World) -> None:
    for name in first_load():
        answer = await world.http.get(f"/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.content == (DASHBOARD / name).read_bytes()


@pytest.mark.parametrize("path", ["/", "/new-segment", "/contacts/a%2Fb", "/health"])
async def test_every_page_is_the_entry_and_may_run_no_inline_script(world: World, path: str) -> None:
    answer = await world.http.get(path, headers={"Accept-Encoding": "identity"})
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|https?://", answer.text)


@pytest.mark.parametrize("name", ["nothing.js", "../page.py", "..%2Fpage.py", "%2e%2e/build.json"])
async def test_a_file_that_was_not_built_is_not_served(world: World, name: str) -> None:
    answer = await world.http.get(f"/assets/{name}")
    assert answer.status_code == 404 or '<div id="root">' in answer.text
    assert "from __future__" not in answer.text
