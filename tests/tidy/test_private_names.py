"""Every private name of a library that the product touches is listed here, and is still what it was.

`test_overrides.py` holds the signatures of what the evaluator overrides; this holds that nothing else is touched
unlisted, wherever it stands, and what the other mends rest on.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

import mode
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, conn
from aiokafka.consumer import consumer, fetcher
from aiokafka.producer.sender import Sender
from aiokafka.record.default_records import _DefaultRecordBatchPy
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from mode.threads import ServiceThread
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.services.evaluator.test_overrides import plain_signature
from tests.syntax import tree_of

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "clients/tidegate", "deploy")
LIBRARIES = ("faust", "mode", "aiokafka", "uvicorn")
ONESELF = {"self", "cls", "super()"}
PUBLIC_WITH_A_LINE = {"_Decompress", "_asdict", "_exit", "_fields", "_make", "_replace"}
"""What the standard library means for everybody although it writes it so."""

TOUCHED: Mapping[str, Mapping[str, type]] = {
    "services/evaluator/service.py": {"_crashed": mode.Service},
    "services/evaluator/transport.py": {
        "_consumer": AIOKafkaConsumerThread,
        "_coordinator": AIOKafkaConsumer,
        "_create_worker_consumer": AIOKafkaConsumerThread,
        "_fetch_records": AIOKafkaConsumerThread,
        "_drain_messages": FaustConsumer,
        "_fetch_max_wait_ms": AIOKafkaConsumer,
        "_gather_remaining_tasks": AIOKafkaConsumerThread,
        "_get_active_partitions": FaustConsumer,
        "_getmany": FaustConsumer,
        "_isolation_level": AIOKafkaConsumer,
        "_new_consumer_thread": FaustConsumer,
        "_serve": ServiceThread,
        "_thread": FaustConsumer,
    },
    "services/evaluator/fetching.py": {
        "_aborted_producers": fetcher.PartitionRecords,
        "_check_crcs": fetcher.PartitionRecords,
        "_closed": fetcher.Fetcher,
        "_consume_aborted_up_to": fetcher.PartitionRecords,
        "_contains_abort_marker": fetcher.PartitionRecords,
        "_create_fetch_waiter": fetcher.Fetcher,
        "_fetcher": AIOKafkaConsumer,
        "_isolation_level": fetcher.PartitionRecords,
        "_notify": fetcher.Fetcher,
        "_partition_records": fetcher.FetchResult,
        "_records": fetcher.Fetcher,
        "_records_iterator": fetcher.PartitionRecords,
        "_subscriptions": fetcher.Fetcher,
        "_tp": fetcher.PartitionRecords,
        "_update_position": fetcher.FetchResult,
        "_wait_consume_future": fetcher.Fetcher,
    },
    "services/evaluator/kafka_log.py": {"_txn_manager": AIOKafkaProducer},
    "services/ingest/producer.py": {"_closed": AIOKafkaProducer, "_sender": AIOKafkaProducer},
    "services/runtime/http_protocol.py": {"_unset_keepalive_if_required": HttpToolsProtocol},
    "clients/tidegate/kafka/connection.py": {
        "_requests": conn.AIOKafkaConnection,
        "_send_sasl_token": conn.AIOKafkaConnection,
        "_ssl_context": conn.AIOKafkaConnection,
        "_writer": conn.AIOKafkaConnection,
    },
    "clients/tidegate/kafka/batches.py": {"_buffer": _DefaultRecordBatchPy},
    "clients/tidegate/kafka/fetching.py": {
        "_closed": fetcher.Fetcher,
        "_fetch_task": fetcher.Fetcher,
        "_fetch_waiters": fetcher.Fetcher,
        "_notify": fetcher.Fetcher,
        "_pending_tasks": fetcher.Fetcher,
    },
}
"""File -> private name -> the class of the library that it belongs to."""
OURS_BESIDE = {
    "clients/tidegate/memberships.py": {"_assign", "_failure", "_revoke"},
    "services/evaluator/unreadable.py": {"_unsettled", "_watch"},
}
"""File -> private names of an object of ours that is touched from outside of it, in the same file."""


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in TOUCHED.items() for name in names], ids=str)
def test_every_private_name_that_we_touch_still_belongs_to_its_class(path: str, name: str) -> None:
    owner = TOUCHED[path][name]
    sources = [inspect.getsource(kind) for kind in owner.__mro__ if kind.__module__.startswith(LIBRARIES)]
    assert any(f"self.{name}" in source or f"def {name}(" in source for source in sources), (
        f"An upgrade took {name} away from {owner.__name__}. Read what took its place and bring {path} along."
    )


def test_no_other_private_name_of_a_library_is_touched() -> None:
    touched = {
        str(path.relative_to(ROOT)): names
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if (names := foreign_private_names(tree_of(path)))
    }
    assert touched == {**{path: set(names) for path, names in TOUCHED.items()}, **OURS_BESIDE}


def test_the_search_finds_what_is_not_our_own() -> None:
    plain = "class Ours:\n    def __init__(self, producer):\n        self._kept = producer._sender\n"
    mend = "import aiokafka\nclass Mend(aiokafka.Fetcher):\n    def close(self):\n        self._own = self._tasks\n"
    namesake = "class Ours:\n    def __init__(self, consumer):\n        self._client = consumer._client\n"
    assert foreign_private_names(ast.parse(plain)) == {"_sender"}
    assert foreign_private_names(ast.parse(namesake)) == {"_client"}
    assert foreign_private_names(ast.parse(mend)) == {"_tasks"}


def foreign_private_names(tree: ast.Module) -> set[str]:
    """The private names in a module that are neither its own nor public in spite of their line."""
    imported = set(imported_from_libraries(tree))
    mends = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).split(".")[0] in imported for base in node.bases)
    ]
    inside = {id(node) for mend in mends for node in ast.walk(mend)}
    own = {
        name for node in ast.walk(tree) if id(node) not in inside for name in defined_by(node) if name.startswith("_")
    }
    of_mends = {name for mend in mends for node in ast.walk(mend) for name in defined_by(node)}
    bases = {name for names in TOUCHED.values() for name in names}
    touched = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    ]
    # What is asked of anything but oneself is not one's own, even if one has something of that name.
    of_others = {node.attr for node in touched if ast.unparse(node.value) not in ONESELF}
    of_oneself = {node.attr for node in touched} - of_others
    return (of_others | (of_oneself | (of_mends & bases)) - own - (of_mends - bases)) - PUBLIC_WITH_A_LINE


def imported_from_libraries(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.asname or each.name).split(".")[0] for each in node.names if is_library(each.name))
        elif isinstance(node, ast.ImportFrom) and is_library(node.module or ""):
            yield from (each.asname or each.name for each in node.names)


def is_library(module: str) -> bool:
    return module.split(".")[0] in LIBRARIES


def defined_by(node: ast.AST) -> Iterator[str]:
    """The private names that a node defines: a function, a name, or an attribute of `self` that is set."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
        yield node.attr


@pytest.mark.parametrize(
    ("kind", "name", "signature"),
    [
        (conn.AIOKafkaConnection, "connect", "(self)"),
        (conn.AIOKafkaConnection, "send", "(self, request, expect_response=True)"),
        (conn.AIOKafkaConnection, "_send_sasl_token", "(self, payload, expect_response=True)"),
        (conn.AIOKafkaConnection, "close", "(self, reason=None, exc=None)"),
        (fetcher.Fetcher, "close", "(self)"),
        (fetcher.Fetcher, "_notify", "(self, future)"),
    ],
    ids=str,
)
def test_what_the_clients_mends_override_keeps_its_signature(kind: type, name: str, signature: str) -> None:
    assert plain_signature(kind, name) == signature


def test_a_fetch_is_still_taken_as_ours_takes_it() -> None:
    """`services/evaluator/fetching.py` stands for these three: read what changed in them, and bring it along."""
    taking = inspect.getsource(fetcher.Fetcher.fetched_records)
    assert taking.index("del self._records[tp]") < taking.index("self._notify(self._wait_consume_future)")
    assert "type(res_or_error) is FetchResult" in taking
    assert "consumed_to(self._partition_records.next_fetch_offset)" in inspect.getsource(
        fetcher.FetchResult._update_position
    )
    reading = inspect.getsource(fetcher.PartitionRecords._unpack_records)
    assert [line.strip() for line in reading.splitlines() if line.strip().startswith(("while", "if", "for"))] == [
        "while records.has_next():",
        "if self._check_crcs and not next_batch.validate_crc():",
        "if (",
        "if (",
        "if (",
        "if next_batch.is_control_batch:",
        "for record in next_batch:",
        "if record.offset < self.next_fetch_offset:",
    ]


def test_the_library_still_makes_connections_and_fetchers_by_the_names_that_we_replace() -> None:
    assert "AIOKafkaConnection(" in inspect.getsource(conn.create_conn)
    assert "self._fetcher = Fetcher(" in inspect.getsource(consumer.AIOKafkaConsumer.start)
    assert "= MemoryRecords(" in inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert conn.CloseReason.CONNECTION_BROKEN.name == "CONNECTION_BROKEN"


def test_a_fetchers_own_close_still_lets_out_the_cancellation_of_a_fetch_that_rests() -> None:
    """When it no longer does, the mend can go."""
    source = inspect.getsource(fetcher.Fetcher.close)
    assert "for x in self._pending_tasks:\n            x.cancel()\n            await x\n" in source


def test_a_producer_is_still_given_up_by_what_its_own_stop_does() -> None:
    source = inspect.getsource(AIOKafkaProducer.stop)
    assert "self._closed = True" in source
    assert "self._sender.sender_task" in source
    assert "await self.client.close()" in source
    assert isinstance(inspect.getattr_static(Sender, "sender_task"), property)


async def test_a_crash_is_still_an_event_that_can_be_awaited() -> None:
    assert hasattr(mode.Service()._crashed, "wait")
