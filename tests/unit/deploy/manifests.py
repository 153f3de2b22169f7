"""The overlays as a cluster would be given them, built by kustomize.

Rule: the builder is kustomize itself: its own command, the one inside kubectl, or one built from its Go module into
`.tools/`, once. Where there is none of the three the tests that ask for it are reported as not run, and fail when
`TIDEGATE_REQUIRE_GO` is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.k8s.grants import DOCTOR, OPERATOR

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "k8s"
OVERLAYS = ("local", "production")
KUSTOMIZE_MODULE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
BUILT = ROOT / ".tools" / "kustomize"
REQUIRED_VARIABLE = "TIDEGATE_REQUIRE_GO"
BUILD_TIMEOUT_S = 600
SERVICE, COMMAND = "service", "command"
COMMANDS = (DOCTOR, OPERATOR)
"""What an operator runs in pods of their own."""

Manifest = dict[str, Any]


def build(overlay: str) -> list[Manifest]:
    """Every document of an overlay."""
    done = subprocess.run(
        [*_builder(), str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document is not None]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """The documents of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The one document of a kind and a name."""
    (found,) = [each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name]
    return found


def workloads(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """What runs pods of ours, by service; what waits for an operator's commands is in `commands`."""
    return _running(manifests, SERVICE)


def commands(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """What an operator's commands are run in, by command."""
    return _running(manifests, COMMAND)


def _running(manifests: Sequence[Manifest], component: str) -> dict[str, Manifest]:
    found = of_kind(manifests, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")
    labels = [(each["metadata"]["labels"], each) for each in found]
    unknown = [each for said, each in labels if said["app.kubernetes.io/component"] not in {SERVICE, COMMAND}]
    assert unknown == [], "neither a service nor a command: nothing hardens it"
    return {
        said["app.kubernetes.io/name"]: each
        for said, each in labels
        if said["app.kubernetes.io/component"] == component
    }


def pod_of(workload: Manifest) -> dict[str, Any]:
    """The pod that a workload makes."""
    template: dict[str, Any] = workload["spec"]["template"]
    return template


def container_of(workload: Manifest) -> dict[str, Any]:
    """The one container of a workload's pod."""
    (container,) = pod_of(workload)["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _builder() -> list[str]:
    if (kustomize := shutil.which("kustomize")) is not None:
        return [kustomize, "build"]
    if (kubectl := shutil.which("kubectl")) is not None:
        return [kubectl, "kustomize"]
    if not BUILT.exists():
        _build_kustomize()
    return [str(BUILT), "build"]


def _build_kustomize() -> None:
    go = shutil.which("go")
    if go is None:
        reason = "no kustomize, no kubectl and no Go to build one with"
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            pytest.fail(f"{reason}, and {REQUIRED_VARIABLE} is 1")
        pytest.skip(f"not run: {reason}")
    environment = {**os.environ, "GOBIN": str(BUILT.parent)}
    done = subprocess.run(
        [go, "install", KUSTOMIZE_MODULE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
