"""A secured cluster with every service on it, for each module: what one leaves behind is nothing to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from services.runtime.settings import RuntimeSettings
from services.runtime.topics import ensure_topics
from tests.services.access.cluster import SecuredCluster, secured_cluster
from tests.services.access.system import PARTITIONS, SecuredSystem, secured_system


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCluster]:
    with secured_cluster(tmp_path_factory.mktemp("secured")) as cluster:
        asyncio.run(ensure_topics(RuntimeSettings(kafka_bootstrap=cluster.plaintext, partitions=PARTITIONS)))
        yield cluster


@pytest.fixture(scope="module")
def system(cluster: SecuredCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredSystem]:
    with secured_system(cluster, tmp_path_factory.mktemp("system")) as system:
        yield system
