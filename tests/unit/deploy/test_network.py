"""Who may speak to whom: the flows that the services need are open, and no others."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from deploy.k8s.grants import DOCTOR, OPERATOR
from services.webhooks.addresses import read_url
from tests.unit.deploy.manifests import (
    COMMANDS,
    OVERLAYS,
    Manifest,
    build,
    commands,
    container_of,
    of_kind,
    pod_of,
    workloads,
)

built = cache(build)
KAFKA = {"strimzi.io/cluster": "tidegate", "strimzi.io/kind": "Kafka"}
DNS = {"k8s-app": "kube-dns"}
SERVICES = ("ingest", "evaluator", "scheduler", "console", "webhooks")
RUNNING = (*SERVICES, *COMMANDS)
ANY_PORT = "any"
"""Of a rule that names none."""
everywhere = pytest.mark.parametrize("overlay", OVERLAYS)


class Peer:
    """One end of a connection: a pod of ours, one of another namespace, or an address."""

    def __init__(
        self, labels: dict[str, str] | None = None, namespace: dict[str, str] | None = None, ip: str = ""
    ) -> None:
        self.labels, self.namespace, self.ip = labels or {}, namespace, ip


@everywhere
def test_every_pod_of_ours_is_closed_both_ways_unless_a_policy_opens_it(overlay: str) -> None:
    denies = [
        policy["spec"]
        for policy in of_kind(built(overlay), "NetworkPolicy")
        if not {"ingress", "egress"} & policy["spec"].keys()
    ]
    for service in RUNNING:
        labels = pod(overlay, service).labels
        assert any(selects(deny["podSelector"], labels) and len(deny["policyTypes"]) == 2 for deny in denies)


@everywhere
@pytest.mark.parametrize("service", RUNNING)
def test_every_service_reaches_kafka_and_the_names(overlay: str, service: str) -> None:
    assert leaves(overlay, service, Peer(KAFKA), 9093)
    assert leaves(overlay, service, Peer(DNS, {"kubernetes.io/metadata.name": "kube-system"}), 53)
    assert not leaves(overlay, service, Peer(KAFKA), 9091), "the brokers' own listener"
    assert not leaves(overlay, service, Peer(ip="169.254.169.254"), 80), "the cloud's metadata"


@everywhere
def test_the_services_reach_one_another_as_they_work_and_not_otherwise(overlay: str) -> None:
    ports = {"ingest": "http", "evaluator": "reads", "console": "http", "webhooks": "http", "scheduler": "admin"}
    open_flows = {
        (source, target)
        for source in RUNNING
        for target in SERVICES
        if source != target
        and leaves(overlay, source, pod(overlay, target), number(overlay, target, ports[target]))
        and enters(overlay, target, pod(overlay, source), ports[target])
    }
    assert open_flows == {
        ("console", "ingest"),
        ("console", "evaluator"),
        ("console", "webhooks"),
        ("ingest", "evaluator"),
        (OPERATOR, "evaluator"),
        (DOCTOR, "console"),
    }


@everywhere
def test_callers_reach_the_public_ports_and_monitoring_the_metrics(overlay: str) -> None:
    caller = Peer(namespace={"tidegate.dev/callers": "true"})
    monitor = Peer(namespace={"tidegate.dev/monitoring": "true"})
    stranger = Peer(namespace={"kubernetes.io/metadata.name": "default"})
    for service in SERVICES:
        names = {port["name"] for port in container_of(workloads(built(overlay))[service])["ports"]}
        assert enters(overlay, service, monitor, "admin")
        for name in names:
            assert enters(overlay, service, caller, name) is (name == "http")
            assert not enters(overlay, service, stranger, name)
            assert name == "admin" or not enters(overlay, service, monitor, name)


@everywhere
def test_what_is_traced_reaches_a_collector(overlay: str) -> None:
    collector, other = Peer(namespace={"tidegate.dev/collectors": "true"}), Peer(namespace={})
    tracing = {service for service in RUNNING if leaves(overlay, service, collector, 4318)}
    assert tracing == {"ingest", "evaluator"}
    assert not [service for service in RUNNING if leaves(overlay, service, other, 4318)]


@everywhere
def test_only_webhooks_reach_the_world_and_never_a_private_address(overlay: str) -> None:
    public = Peer(ip="93.184.216.34")
    assert {service for service in RUNNING if leaves(overlay, service, public, 443)} == {"webhooks"}
    assert leaves(overlay, "webhooks", Peer(ip="2606:2800:220:1::1"), 443)
    for private in (
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "127.0.0.1",
        "fd00::1",
        "fe80::1",
        "::1",
    ):
        for port in (443, 8443):
            assert not leaves(overlay, "webhooks", Peer(ip=private), port), private


@everywhere
@pytest.mark.parametrize(
    "url", ["https://example.com/in", "https://example.com:8443/in", "https://example.com:65535/in"]
)
def test_webhooks_reach_every_port_that_a_webhook_may_name(overlay: str, url: str) -> None:
    target = read_url(url, allow_local=False)
    assert leaves(overlay, "webhooks", Peer(ip="93.184.216.34"), target.port)


def pod(overlay: str, service: str) -> Peer:
    manifests = built(overlay)
    return Peer(pod_of({**workloads(manifests), **commands(manifests)}[service])["metadata"]["labels"])


def number(overlay: str, service: str, name: str) -> int:
    ports = container_of(workloads(built(overlay))[service])["ports"]
    return int(next(port["containerPort"] for port in ports if port["name"] == name))


def enters(overlay: str, service: str, source: Peer, port: str) -> bool:
    """Whether a connection from a peer to a named port of a service is let in."""
    return any(
        any(matches(peer, source) for peer in rule["from"]) and port in [each["port"] for each in rule["ports"]]
        for policy in policies_of(overlay, service)
        for rule in policy.get("ingress", [])
    )


def leaves(overlay: str, service: str, target: Peer, port: int) -> bool:
    """Whether a connection from a service to a peer's port is let out. A named port is that of the peer's pod."""
    names = {
        number(overlay, other, each["name"]): each["name"]
        for other in SERVICES
        for each in container_of(workloads(built(overlay))[other])["ports"]
    }
    return any(
        any(matches(peer, target) for peer in rule["to"])
        and {port, names.get(port), ANY_PORT} & {each.get("port", ANY_PORT) for each in rule["ports"]}
        for policy in policies_of(overlay, service)
        for rule in policy.get("egress", [])
    )


def policies_of(overlay: str, service: str) -> list[Manifest]:
    labels = pod(overlay, service).labels
    policies = (policy["spec"] for policy in of_kind(built(overlay), "NetworkPolicy"))
    return [policy for policy in policies if selects(policy["podSelector"], labels)]


def matches(rule: dict[str, Any], peer: Peer) -> bool:
    if "ipBlock" in rule:
        if not peer.ip:
            return False
        address, block = ip_address(peer.ip), ip_network(rule["ipBlock"]["cidr"])
        return address in block and not any(address in ip_network(each) for each in rule["ipBlock"].get("except", []))
    if peer.ip:
        return False
    if ("namespaceSelector" in rule) is not (peer.namespace is not None):
        return False
    if peer.namespace is not None and not selects(rule["namespaceSelector"], peer.namespace):
        return False
    return selects(rule.get("podSelector", {}), peer.labels)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    known = {"matchLabels", "matchExpressions"}
    assert selector.keys() <= known, selector
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )
