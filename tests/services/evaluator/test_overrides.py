"""What the evaluator overrides of Faust and aiokafka is still what it was; `test_private_names.py` holds the rest."""

from __future__ import annotations

import inspect

import aiokafka.producer.sender
import aiokafka.producer.transaction_manager
import pytest
from aiokafka.consumer.fetcher import Fetcher

from services.evaluator import transport
from services.evaluator.transport import OVERRIDES

EXPLANATION = (
    "An upgrade of Faust changed a private name that services/evaluator/transport.py overrides or calls. Read the new "
    "driver's {name}: does it still call what we replace, at the same moment, with the same meaning? Then bring the "
    "override and OVERRIDES along, and run `make faults`: rebalance, zombie and recovery tests cover this seam."
)


def plain_signature(kind: type, name: str) -> str:
    function = getattr(kind, name)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))


@pytest.mark.parametrize(("kind", "name"), OVERRIDES, ids=lambda part: getattr(part, "__name__", part))
def test_every_overridden_name_still_exists_with_its_signature(kind: type, name: str) -> None:
    assert hasattr(kind, name), EXPLANATION.format(name=name)
    assert plain_signature(kind, name) == OVERRIDES[kind, name], EXPLANATION.format(name=name)


def test_our_classes_override_only_what_is_listed() -> None:
    listed = {name for _, name in OVERRIDES}
    for ours in (transport.Consumer, transport.ConsumerThread):
        written = {name for name in vars(ours) if inspect.isfunction(getattr(ours, name)) and name != "__init__"}
        assert written <= listed


def test_the_fetch_wait_and_isolation_are_still_plain_attributes_of_the_consumer() -> None:
    source = inspect.getsource(__import__("aiokafka").AIOKafkaConsumer)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source
    assert "isolation_level=self._isolation_level" in source
    assert "isolation_level" in inspect.signature(Fetcher.__init__).parameters


def test_the_transaction_back_off_is_still_read_from_the_module() -> None:
    assert isinstance(aiokafka.producer.sender.BACKOFF_OVERRIDE, float)
    assert "BACKOFF_OVERRIDE" in inspect.getsource(aiokafka.producer.sender.AddPartitionsToTxnHandler)


def test_partitions_are_still_added_to_a_transaction_by_the_manager_that_we_tell_beforehand() -> None:
    manager = aiokafka.producer.transaction_manager.TransactionManager
    assert list(inspect.signature(manager.maybe_add_partition_to_txn).parameters) == ["self", "tp"]
    assert list(inspect.signature(manager.is_in_transaction).parameters) == ["self"]
    assert "self._txn_manager" in inspect.getsource(aiokafka.AIOKafkaProducer.__init__)
    assert "partitions_to_add()" in inspect.getsource(aiokafka.producer.sender.Sender._maybe_do_transactional_request)
