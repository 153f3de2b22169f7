"""A cluster would take every document of every overlay, and a mistake in one would not pass unseen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.k8s.generate import FOLDER, documents, main
from schemas.topics import PARTITIONS_MAX, Topic
from tests.unit.deploy.manifests import OVERLAYS, Manifest, build, container_of, named, of_kind, pod_of, workloads
from tests.unit.deploy.schemas import problems

built = cache(build)
Mistake = Callable[[list[Manifest]], Manifest]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_document_of_an_overlay_is_valid_to_the_letter(overlay: str) -> None:
    manifests = built(overlay)
    assert len(manifests) > 40
    assert [problem for manifest in manifests for problem in problems(manifest)] == []


def test_topics_and_users_are_what_the_tables_say() -> None:
    for name, text in documents().items():
        assert (FOLDER / name).read_text() == text, "run `python -m deploy.k8s.generate`"


def test_a_moved_workspaces_topics_and_users_carry_its_prefix_and_are_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--prefix", "v2-", "--partitions", "128", "--to", str(tmp_path)])
    topics, users = (list(yaml.safe_load_all((tmp_path / name).read_text())) for name in ("topics.yaml", "users.yaml"))
    assert {topic["metadata"]["name"] for topic in topics} == {f"v2-{topic}" for topic in Topic}
    assert {topic["spec"]["partitions"] for topic in topics} >= {128}
    acls = [acl["resource"] for user in users for acl in user["spec"]["authorization"]["acls"]]
    assert {acl["name"] for acl in acls if not acl["name"].startswith("v2-")} == {"*", "v"}
    assert [problem for manifest in (*topics, *users) for problem in problems(manifest)] == []
    said = capsys.readouterr().out
    assert "TIDEGATE_TOPIC_PREFIX=v2-" in said
    assert "v2-evaluator" in said


@pytest.mark.parametrize(
    "options", [["--prefix", "V2_"], ["--partitions", "0"], ["--partitions", str(PARTITIONS_MAX + 1)]], ids=" ".join
)
def test_what_cannot_be_declared_is_refused_and_nothing_is_written(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*options, "--to", str(tmp_path)])
    assert options[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def misspelt_security(manifests: list[Manifest]) -> Manifest:
    workload = workloads(manifests)["ingest"]
    container_of(workload)["securityContext"]["readOnlyRootFileSystem"] = True
    return workload


def probe_without_a_port(manifests: list[Manifest]) -> Manifest:
    workload = workloads(manifests)["evaluator"]
    del container_of(workload)["startupProbe"]["httpGet"]["port"]
    return workload


def replicas_as_text(manifests: list[Manifest]) -> Manifest:
    workload = workloads(manifests)["scheduler"]
    workload["spec"]["replicas"] = "2"
    return workload


def grace_in_the_wrong_place(manifests: list[Manifest]) -> Manifest:
    workload = workloads(manifests)["console"]
    workload["spec"]["terminationGracePeriodSeconds"] = 40
    return workload


def unknown_spread(manifests: list[Manifest]) -> Manifest:
    workload = workloads(manifests)["console"]
    pod_of(workload)["spec"]["topologySpreadConstraints"][0]["whenUnsatisfied"] = "ScheduleAnyway"
    return workload


def budget_without_a_selector_that_works(manifests: list[Manifest]) -> Manifest:
    budget = named(manifests, "PodDisruptionBudget", "tidegate-evaluator")
    budget["spec"]["selector"] = {"app.kubernetes.io/name": "evaluator"}
    return budget


def policy_without_a_selector(manifests: list[Manifest]) -> Manifest:
    policy = named(manifests, "NetworkPolicy", "tidegate-metrics")
    policy["spec"]["ingress"][0]["form"] = policy["spec"]["ingress"][0].pop("from")
    return policy


def topic_with_its_partitions_as_text(manifests: list[Manifest]) -> Manifest:
    topic = named(manifests, "KafkaTopic", "memberships")
    topic["spec"]["partitions"] = "64"
    return topic


def topic_with_its_settings_misplaced(manifests: list[Manifest]) -> Manifest:
    topic = named(manifests, "KafkaTopic", "memberships")
    topic["spec"]["configuration"] = topic["spec"].pop("config")
    return topic


def user_with_an_unknown_operation(manifests: list[Manifest]) -> Manifest:
    user = named(manifests, "KafkaUser", "tidegate-console")
    user["spec"]["authorization"]["acls"][0]["operations"] = ["Reads"]
    return user


def user_without_a_pattern(manifests: list[Manifest]) -> Manifest:
    user = named(manifests, "KafkaUser", "tidegate-evaluator")
    user["spec"]["authorization"]["acls"][0]["resource"]["pattern"] = "prefix"
    return user


def listener_without_authentication(manifests: list[Manifest]) -> Manifest:
    kafka = named(manifests, "Kafka", "tidegate")
    listener = kafka["spec"]["kafka"]["listeners"][0]
    listener["authetication"] = listener.pop("authentication")
    return kafka


def pool_of_an_unknown_role(manifests: list[Manifest]) -> Manifest:
    pool = named(manifests, "KafkaNodePool", "broker")
    pool["spec"]["roles"] = ["zookeeper"]
    return pool


def scaling_by_another_name(manifests: list[Manifest]) -> Manifest:
    scaled = named(manifests, "ScaledObject", "tidegate-evaluator")
    scaled["spec"]["maxReplicas"] = scaled["spec"].pop("maxReplicaCount")
    return scaled


def trigger_without_authentication(manifests: list[Manifest]) -> Manifest:
    scaled = named(manifests, "ScaledObject", "tidegate-evaluator")
    scaled["spec"]["triggers"][0]["authentication"] = scaled["spec"]["triggers"][0].pop("authenticationRef")
    return scaled


def kind_that_nobody_knows(manifests: list[Manifest]) -> Manifest:
    manifest = copy.deepcopy(manifests[0])
    manifest["kind"] = "Deploiment"
    return manifest


def version_that_is_gone(manifests: list[Manifest]) -> Manifest:
    budget = named(manifests, "PodDisruptionBudget", "tidegate-console")
    budget["apiVersion"] = "policy/v1beta1"
    return budget


@pytest.mark.parametrize(
    "plant",
    [
        misspelt_security,
        probe_without_a_port,
        replicas_as_text,
        grace_in_the_wrong_place,
        unknown_spread,
        budget_without_a_selector_that_works,
        policy_without_a_selector,
        topic_with_its_partitions_as_text,
        topic_with_its_settings_misplaced,
        user_with_an_unknown_operation,
        user_without_a_pattern,
        listener_without_authentication,
        pool_of_an_unknown_role,
        scaling_by_another_name,
        trigger_without_authentication,
        kind_that_nobody_knows,
        version_that_is_gone,
    ],
)
def test_a_planted_mistake_is_found(plant: Mistake) -> None:
    assert problems(plant(copy.deepcopy(built("production"))))


def test_every_kind_in_use_has_a_schema() -> None:
    kinds = {manifest["kind"] for overlay in OVERLAYS for manifest in built(overlay)}
    assert {"Kafka", "KafkaTopic", "KafkaUser", "ScaledObject", "StatefulSet", "NetworkPolicy"} <= kinds
    for kind in kinds:
        manifest: dict[str, Any] = copy.deepcopy(of_kind(built("production"), kind)[0])
        manifest["nobody_knows_this"] = 1
        assert problems(manifest), f"{kind} is not looked at"
