"""A real broker that asks for TLS, a password and a grant, as the production manifests do.

Rule: clients of the product connect by the secured listener alone. A plaintext listener, for the test's own set-up,
acts as the broker's super user. The broker notes each decision of its authorizer, so a test can read what was asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.k8s.grants import GRANTS, Grant, Operation, Resource, user_name
from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, free_ports

ANSWER_TIMEOUT_S = 30
OPERATIONS = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.CREATE: AclOperation.CREATE,
    Operation.DELETE: AclOperation.DELETE,
    Operation.ALTER_CONFIGS: AclOperation.ALTER_CONFIGS,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
}
RESOURCES = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}
JVM_OPTIONS = "JAVA_TOOL_OPTIONS"
NOTE_DECISIONS = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug"
DECISION = re.compile(
    r"Principal = User:(?P<user>\S+) is (?P<decision>Allowed|Denied) operation = (?P<operation>\w+) "
    r"from host = \S+ on resource = (?P<resource>\w+):LITERAL:(?P<name>.*?) for request = (?P<request>\w+)"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of the authorizer."""

    user: str
    allowed: bool
    operation: str
    resource: str
    name: str
    request: str


@dataclass(frozen=True, slots=True)
class SecuredCluster:
    """The running broker: both of its addresses, who signed its certificate, and how each service proves itself."""

    plaintext: str
    secured: str
    authority: Path
    log: Path
    stranger: Path
    """Another authority, which signed nothing here."""

    def password(self, service: str) -> str:
        """The password of a service's user."""
        return f"secret of {service}"

    def environment(self, service: str) -> dict[str, str]:
        """The settings by which a service connects, as the manifests give them."""
        return {
            "TIDEGATE_KAFKA_BOOTSTRAP": self.secured,
            "TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "TIDEGATE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "TIDEGATE_KAFKA_SASL_USERNAME": user_name(service),
            "TIDEGATE_KAFKA_SASL_PASSWORD": self.password(service),
            "TIDEGATE_KAFKA_SSL_CA_FILE": str(self.authority),
        }

    def decisions(self) -> set[Decision]:
        """What the authorizer has decided so far about our users."""
        found = DECISION.finditer(self.log.read_text(errors="replace"))
        return {
            Decision(
                one["user"],
                one["decision"] == "Allowed",
                one["operation"],
                one["resource"],
                one["name"],
                one["request"],
            )
            for one in found
            if one["user"] != "ANONYMOUS"
        }


@contextmanager
def secured_cluster(directory: Path) -> Iterator[SecuredCluster]:
    """Start the broker, make a user for each service and give it exactly the grants of the table."""
    plain_port, controller_port, secured_port = free_ports(3)
    authority, stranger, identity = directory / "ca.pem", directory / "stranger.pem", directory / "broker.pem"
    _certificates(authority, stranger, identity)
    listeners = f"PLAINTEXT://{LOOPBACK}:{plain_port},SECURED://{LOOPBACK}:{secured_port}"
    properties = {
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL",
        "listener.name.secured.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.secured.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.secured.ssl.keystore.type": "PEM",
        "listener.name.secured.ssl.keystore.location": str(identity),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
    kafka = LocalKafka(directory / "kafka", plain_port, controller_port, properties=properties)
    before = os.environ.get(JVM_OPTIONS)
    os.environ[JVM_OPTIONS] = NOTE_DECISIONS
    try:
        kafka.start()
    finally:
        os.environ.pop(JVM_OPTIONS)
        if before is not None:
            os.environ[JVM_OPTIONS] = before
    try:
        cluster = SecuredCluster(
            kafka.bootstrap, f"{LOOPBACK}:{secured_port}", authority, kafka.log_file, stranger=stranger
        )
        _enrol(cluster)
        yield cluster
    finally:
        kafka.stop()


def _certificates(authority: Path, stranger: Path, identity: Path) -> None:
    signs = trustme.CA()
    signs.cert_pem.write_to_path(str(authority))
    trustme.CA().cert_pem.write_to_path(str(stranger))
    issued = signs.issue_cert(LOOPBACK)
    key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    # Java reads keys in this form only.
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    identity.write_bytes(content + b"".join(part.bytes() for part in issued.cert_chain_pems))


def _enrol(cluster: SecuredCluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.plaintext})
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user_name(service), credential, cluster.password(service).encode())
        for service in GRANTS
    ]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result(ANSWER_TIMEOUT_S)
    bindings = [
        _binding(service, grant, operation)
        for service, grants in GRANTS.items()
        for grant in grants
        for operation in grant.operations
    ]
    for created in admin.create_acls(bindings).values():
        created.result(ANSWER_TIMEOUT_S)


def _binding(service: str, grant: Grant, operation: Operation) -> AclBinding:
    return AclBinding(
        RESOURCES[grant.resource],
        grant.name,
        ResourcePatternType.PREFIXED if grant.prefix else ResourcePatternType.LITERAL,
        f"User:{user_name(service)}",
        "*",
        OPERATIONS[operation],
        AclPermissionType.ALLOW,
    )
