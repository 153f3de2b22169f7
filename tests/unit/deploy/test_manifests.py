"""The overlays say what the services need and nothing that they must not have."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from deploy.k8s.generate import PARTITIONING_LABEL
from deploy.k8s.grants import GRANTS, OPERATOR, user_name
from deploy.workspace.ended_imports import imports_place
from deploy.workspace.settings import OperatorSettings
from schemas.groups import EVALUATOR_GROUP
from schemas.topics import SPECS
from services.console.settings import ConsoleSettings
from services.evaluator.settings import EvaluatorSettings
from services.ingest.settings import IngestSettings
from services.runtime.settings import ENV_PREFIX, RuntimeSettings
from services.scheduler.settings import SchedulerSettings
from services.webhooks.settings import WebhookSettings
from tests.unit.deploy.manifests import (
    COMMANDS,
    OVERLAYS,
    Manifest,
    build,
    commands,
    container_of,
    named,
    of_kind,
    pod_of,
    workloads,
)

built = cache(build)
SETTINGS: dict[str, type[RuntimeSettings]] = {
    "ingest": IngestSettings,
    "evaluator": EvaluatorSettings,
    "scheduler": SchedulerSettings,
    "console": ConsoleSettings,
    "webhooks": WebhookSettings,
}
SERVICES = tuple(SETTINGS)
RUNNING = (*SERVICES, *COMMANDS)
PROFILE = {"type": "RuntimeDefault"}
everywhere = pytest.mark.parametrize("overlay", OVERLAYS)


@everywhere
def test_every_service_runs_and_nothing_else_does(overlay: str) -> None:
    found = workloads(built(overlay))
    assert set(found) == set(SERVICES)
    assert {name: container_of(workload)["args"] for name, workload in found.items()} == {
        name: [f"services.{name}"] for name in SERVICES
    }


@everywhere
def test_what_commands_are_run_in_waits_at_no_cost_as_their_own_users(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = built(overlay)
    assert set(commands(manifests)) == set(COMMANDS)
    for name, workload in commands(manifests).items():
        assert workload["spec"]["replicas"] == 0
        seen = environment(manifests, name)
        assert seen["TIDEGATE_KAFKA_SASL_USERNAME"] == user_name(name)
        read = {*OperatorSettings.model_fields, "url"}
        assert {variable.removeprefix(ENV_PREFIX).lower() for variable in seen} <= read
    for variable, value in environment(manifests, OPERATOR).items():
        monkeypatch.setenv(variable, value)
    place = imports_place(OperatorSettings())
    assert place == environment(manifests, "ingest")["TIDEGATE_IMPORTS_URL"]
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod_of(commands(manifests)[OPERATOR])["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == ["tidegate-imports"]


@everywhere
@pytest.mark.parametrize("service", RUNNING)
def test_every_container_is_without_root_writable_disk_capabilities_and_token(overlay: str, service: str) -> None:
    pod = pod_of(everything(built(overlay))[service])["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts >= {"/tmp", "/var/lib/tidegate"}  # noqa: S108 - the container's own, an empty volume
    account = named(built(overlay), "ServiceAccount", pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False


@everywhere
def test_the_brokers_pods_keep_to_the_namespaces_rules(overlay: str) -> None:
    namespace = named(built(overlay), "Namespace", "tidegate")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    kafka = named(built(overlay), "Kafka", "tidegate")["spec"]
    operator, unprivileged = kafka["entityOperator"]["template"], {"runAsNonRoot": True, "seccompProfile": PROFILE}
    assert operator["pod"]["securityContext"] == unprivileged
    pools = of_kind(built(overlay), "KafkaNodePool")
    brokers = [pool["spec"].get("template", kafka["kafka"]["template"]) for pool in pools]
    assert brokers
    for broker in brokers:
        # Group 0 is the broker's own: it has to be let write to its volume.
        assert broker["pod"]["securityContext"] == {"fsGroup": 0, **unprivileged}
    for template, names in (
        *((broker, ("kafkaContainer", "initContainer")) for broker in brokers),
        (operator, ("topicOperatorContainer", "userOperatorContainer")),
    ):
        for name in names:
            context = template[name]["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["allowPrivilegeEscalation"] is False


@everywhere
@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_container_is_one_that_its_service_reads(
    overlay: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(built(overlay), service).items():
        if name.startswith(ENV_PREFIX):
            assert name.removeprefix(ENV_PREFIX).lower() in SETTINGS[service].model_fields, name
            monkeypatch.setenv(name, value)
    settings = SETTINGS[service]()
    assert settings.kafka_security_protocol == "SASL_SSL"
    assert settings.kafka_sasl_username == user_name(service)
    assert settings.kafka_sasl_password is not None
    assert settings.admin_host == "0.0.0.0"  # noqa: S104 - inside the pod; network policies say who reaches it
    pod = pod_of(workloads(built(overlay))[service])["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 30
    assert pod["terminationGracePeriodSeconds"] * 1_000 > settings.stop_grace_ms + 5_000
    mounted = {mount["mountPath"] for mount in container_of(workloads(built(overlay))[service])["volumeMounts"]}
    assert str(settings.data_dir) in mounted
    assert settings.kafka_ssl_ca_file is not None
    assert str(settings.kafka_ssl_ca_file.parent) in mounted
    keys_path = getattr(settings, "keys_path", None)
    assert keys_path is None or str(keys_path.parent) in mounted


@everywhere
@pytest.mark.parametrize("service", ["ingest", "console", "webhooks"])
def test_a_pod_that_is_to_end_serves_until_nobody_is_sent_to_it(overlay: str, service: str) -> None:
    """A service refuses connections as soon as it is told to stop, and the nodes hear of it later."""
    pod = pod_of(workloads(built(overlay))[service])["spec"]
    command, seconds = container_of(workloads(built(overlay))[service])["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert int(seconds) >= 5
    stop_s = int(environment(built(overlay), service)["TIDEGATE_STOP_GRACE_MS"]) // 1_000
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + stop_s + 5


def everything(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Services, and what commands are run in."""
    return {**workloads(manifests), **commands(manifests)}


def environment(manifests: list[Manifest], service: str) -> dict[str, str]:
    """What a service's process sees, with a stand-in for secrets and a first pod's name."""
    container = container_of(everything(manifests)[service])
    (source,) = container["envFrom"]
    seen = dict(named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"])
    for entry in container["env"]:
        value = entry.get("value", "from elsewhere")
        seen[entry["name"]] = value.replace("$(POD_NAME)", "tidegate-evaluator-0")
    return seen


@everywhere
@pytest.mark.parametrize("service", SERVICES)
def test_ports_and_probes_are_those_of_the_service(overlay: str, service: str) -> None:
    container = container_of(workloads(built(overlay))[service])
    settings = SETTINGS[service]()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    public = getattr(settings, f"{service}_port", getattr(settings, "read_api_port", None))
    assert ports["admin"] == settings.admin_port
    assert {port for name, port in ports.items() if name != "admin"} == ({public} if public is not None else set())
    for probe, path in (("startupProbe", "/ready"), ("readinessProbe", "/ready"), ("livenessProbe", "/live")):
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}
    for entry in of_kind(built(overlay), "Service"):
        if entry["spec"]["selector"] == {"app.kubernetes.io/name": service}:
            (port,) = entry["spec"]["ports"]
            assert ports[port["targetPort"]] == port["port"]


@everywhere
def test_every_service_says_where_its_metrics_are_scraped_and_no_waiting_command_does(overlay: str) -> None:
    for service, workload in everything(built(overlay)).items():
        said = pod_of(workload)["metadata"].get("annotations", {})
        scraped = {name: value for name, value in said.items() if name.startswith("prometheus.io/")}
        if service in COMMANDS:
            assert scraped == {}
        else:
            port = str(SETTINGS[service]().admin_port)
            assert scraped == {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": port,
                "prometheus.io/path": "/metrics",
            }


@everywhere
@pytest.mark.parametrize("service", ["ingest", "webhooks"])
def test_the_console_is_told_where_each_service_is_whose_routes_it_passes_on(overlay: str, service: str) -> None:
    manifests = built(overlay)
    (port,) = named(manifests, "Service", f"tidegate-{service}")["spec"]["ports"]
    told = environment(manifests, "console")[f"TIDEGATE_{service.upper()}_URL"]
    assert told == f"http://tidegate-{service}:{port['port']}"


@everywhere
def test_everything_that_a_pod_refers_to_is_there(overlay: str) -> None:
    manifests = built(overlay)
    from_strimzi = {user_name(service) for service in GRANTS} | {"tidegate-cluster-ca-cert"}
    users = {each["metadata"]["name"] for each in of_kind(manifests, "KafkaUser")}
    assert users == {user_name(service) for service in GRANTS}
    for service, workload in everything(manifests).items():
        pod = pod_of(workload)["spec"]
        secrets = [
            entry["valueFrom"]["secretKeyRef"]["name"]
            for entry in container_of(workload)["env"]
            if "secretKeyRef" in entry.get("valueFrom", {})
        ]
        secrets += [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        assert set(secrets) == {user_name(service), "tidegate-cluster-ca-cert"}
        assert set(secrets) <= from_strimzi
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert named(manifests, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        assert workload["spec"]["selector"]["matchLabels"].items() <= pod_of(workload)["metadata"]["labels"].items()
        if service in COMMANDS:
            continue
        budget = named(manifests, "PodDisruptionBudget", f"tidegate-{service}")
        assert budget["spec"]["selector"]["matchLabels"] == workload["spec"]["selector"]["matchLabels"]


@everywhere
def test_requests_and_memory_limits_are_said_and_a_processor_is_never_throttled(overlay: str) -> None:
    for workload in everything(built(overlay)).values():
        resources = container_of(workload)["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert resources["limits"].keys() == {"memory"}


@everywhere
def test_an_evaluator_keeps_its_disk_its_name_and_its_address(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = built(overlay)
    workload = workloads(manifests)["evaluator"]
    spec = workload["spec"]
    assert workload["kind"] == "StatefulSet"
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(workload)["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/var/lib/tidegate"
    seen = environment(manifests, "evaluator")
    assert seen["TIDEGATE_STATIC_MEMBER"] == "tidegate-evaluator-0"
    service = named(manifests, "Service", spec["serviceName"])
    assert seen["TIDEGATE_READ_ADDRESS"] == f"http://tidegate-evaluator-0.{spec['serviceName']}:8082"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    startup = container_of(workload)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600, "a recovery must have the time"


@everywhere
def test_a_new_ingest_has_the_time_and_the_room_to_read_a_days_requests(overlay: str) -> None:
    workload = workloads(built(overlay))["ingest"]
    startup = container_of(workload)["startupProbe"]
    start_s = startup["periodSeconds"] * startup["failureThreshold"]
    assert start_s >= 900
    assert workload["spec"]["progressDeadlineSeconds"] > start_s
    (data,) = [volume for volume in workload["spec"]["template"]["spec"]["volumes"] if volume["name"] == "data"]
    assert data["emptyDir"]["sizeLimit"] == "10Gi"


@everywhere
def test_topics_are_those_that_the_services_will_accept(overlay: str) -> None:
    manifests = built(overlay)
    partitions = int(environment(manifests, "evaluator")["TIDEGATE_PARTITIONS"])
    topics = {each["metadata"]["name"]: each for each in of_kind(manifests, "KafkaTopic")}
    assert topics.keys() == {topic.value for topic in SPECS}
    brokers = sum(
        pool["spec"]["replicas"] for pool in of_kind(manifests, "KafkaNodePool") if "broker" in pool["spec"]["roles"]
    )
    for topic, spec in SPECS.items():
        declared = topics[topic.value]["spec"]
        assert declared["partitions"] == spec.partition_count(partitions)
        assert spec.config.items() <= declared["config"].items()
        assert int(declared["config"]["min.insync.replicas"]) <= declared["replicas"] <= brokers
        assert topics[topic.value]["metadata"]["labels"][PARTITIONING_LABEL]


def test_production_survives_the_loss_of_a_broker() -> None:
    kafka = named(built("production"), "Kafka", "tidegate")["spec"]["kafka"]
    assert kafka["config"]["auto.create.topics.enable"] is False
    assert kafka["config"]["unclean.leader.election.enable"] is False
    assert kafka["config"]["transaction.state.log.replication.factor"] == 3
    assert kafka["config"]["transaction.state.log.min.isr"] == 2
    for topic in of_kind(built("production"), "KafkaTopic"):
        assert (topic["spec"]["replicas"], topic["spec"]["config"]["min.insync.replicas"]) == (3, "2")


@everywhere
def test_kafka_is_reached_over_tls_with_a_password_and_by_grants_only(overlay: str) -> None:
    kafka = named(built(overlay), "Kafka", "tidegate")["spec"]["kafka"]
    assert kafka["authorization"] == {"type": "simple"}
    (listener,) = kafka["listeners"]
    assert (listener["tls"], listener["authentication"]["type"]) == (True, "scram-sha-512")
    for user in of_kind(built(overlay), "KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            assert "All" not in acl["operations"]
            # Consumers of memberships name their groups themselves, and a move takes all of them along.
            is_any_group = user["metadata"]["name"] == user_name(OPERATOR) and acl["resource"]["type"] == "group"
            assert acl["resource"]["name"] != "*" or is_any_group


def test_lag_scales_evaluators_up_to_one_a_partition() -> None:
    manifests = built("production")
    scaled = named(manifests, "ScaledObject", "tidegate-evaluator")["spec"]
    seen = environment(manifests, "evaluator")
    assert 1 < scaled["maxReplicaCount"] <= int(seen["TIDEGATE_PARTITIONS"])
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["consumerGroup"] == EVALUATOR_GROUP == EvaluatorSettings(topic_prefix="").group
    assert trigger["metadata"]["topic"] in {topic.value for topic in SPECS}
    authentication = named(manifests, "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
    given: dict[str, Any] = {
        each["parameter"]: each for each in (*authentication["configMapTargetRef"], *authentication["secretTargetRef"])
    }
    username = named(manifests, "ConfigMap", given["username"]["name"])["data"][given["username"]["key"]]
    assert username == given["password"]["name"] == user_name("autoscaler")
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in named(manifests, target["kind"], target["name"])["spec"]
