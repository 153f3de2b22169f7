"""Who reads and writes a topic is said alike by the grants, which a broker is tried with, and by the documents."""

from __future__ import annotations

import pytest

from deploy.k8s.grants import GRANTS, Operation, Resource
from schemas.catalogue import CHANNELS, Party
from schemas.topics import Topic

SERVICES = frozenset({Party.INGEST, Party.SCHEDULER, Party.EVALUATOR, Party.CONSOLE, Party.WEBHOOKS})


@pytest.mark.parametrize("topic", Topic)
def test_the_services_that_a_document_names_are_those_that_have_the_grant(topic: Topic) -> None:
    channel = CHANNELS[topic]
    assert SERVICES & {*channel.read_by} == granted(topic, Operation.READ)
    assert SERVICES & {*channel.written_by} == granted(topic, Operation.WRITE)


def granted(topic: Topic, operation: Operation) -> set[Party]:
    """The services that may do something with a topic."""
    return {
        service
        for service in SERVICES
        for grant in GRANTS[service]
        if grant.resource is Resource.TOPIC and grant.name == topic and operation in grant.operations
    }
