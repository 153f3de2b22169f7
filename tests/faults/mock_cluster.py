"""librdkafka's mock cluster, for answers and delays that a real broker gives only when it is ill: tier L.

Rule: the clients under test are the product's own, over TCP; only what answers them is a mock. It knows produce, fetch,
groups and transactional ids, and keeps no rule of Kafka's logs: aborted records stay visible, nothing is compacted, and
a group's offsets cannot be listed. So whatever is claimed of exactness is shown on a real broker or in the simulation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

PRODUCE = 0
"""Kafka's number of the produce request."""
NOT_LEADER = 6
REQUEST_TIMED_OUT = 7
NOT_ENOUGH_REPLICAS = 19
_PRODUCER = 0
_ERROR_CHARACTERS_MAX = 512


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    (path,) = folder.glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.rd_kafka_mock_broker_set_rtt.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]
    library.rd_kafka_mock_broker_set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_int),
    ]
    return library


class MockCluster:
    """A cluster of mock brokers in this process, on loopback."""

    def __init__(self, brokers: int = 3) -> None:
        self._library = _library()
        self._brokers = brokers
        message = ctypes.create_string_buffer(_ERROR_CHARACTERS_MAX)
        configuration = self._library.rd_kafka_conf_new()
        self._client = self._library.rd_kafka_new(_PRODUCER, configuration, message, _ERROR_CHARACTERS_MAX)
        if not self._client:
            raise AssertionError(f"librdkafka gave no client: {message.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, brokers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic, replicated on every broker."""
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, self._brokers)

    def answer(self, request: int, errors: Sequence[int]) -> None:
        """Have the next requests of a kind answered with these errors, one each."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), array)

    def delay(self, milliseconds: int) -> None:
        """Have every broker answer this much later."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)

    def down(self) -> None:
        """Every broker closes its connections and takes none."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def up(self) -> None:
        """Every broker takes connections again."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)
