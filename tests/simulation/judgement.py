"""What a simulated history must have led to: published sequences, states, stores and dead letters.

Rule: expectations come from the input log and the oracle alone, never from what the code under test says of itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.codec import decode_contact
from schemas.topics import Topic
from segmentation.model import ContactId, SegmentId
from tests.oracle.checker import Published, check_committed, check_readers_agree, check_uncommitted, fold
from tests.oracle.reference import LogEntry, PoisonInput, Reference
from tests.simulation.broker import SimulatedBroker, StoredRecord
from tests.simulation.cluster import Cluster

CONTACT_ROWS = b"c"
SOURCE_OFFSET_HEADER = "source.offset"


class Reader:
    """A consumer of one partition of `memberships` that reads committed records while the faults happen."""

    def __init__(self, broker: SimulatedBroker, partition: int) -> None:
        self._broker = broker
        self._partition = partition
        self._next = 0
        self.committed: list[Published] = []

    def read(self) -> None:
        """Read what has become visible."""
        log = self._broker.log(Topic.MEMBERSHIPS, self._partition)
        end = log.last_stable
        self.committed.extend(_published(self._partition, log.committed(self._next, end)))
        self._next = end


def judge(
    broker: SimulatedBroker, cluster: Cluster, entries: Mapping[int, Sequence[LogEntry]], readers: Sequence[Reader]
) -> list[str]:
    """Every violation, as lines."""
    references = {partition: Reference().read_all(log) for partition, log in entries.items()}
    expected = {partition: reference.events for partition, reference in references.items()}
    committed: list[Published] = []
    uncommitted: list[Published] = []
    for partition in entries:
        log = broker.log(Topic.MEMBERSHIPS, partition)
        committed.extend(_published(partition, log.committed(0)))
        uncommitted.extend(_published(partition, log.records))
    violations = [
        *check_committed(committed, expected, len(entries)).violations,
        *check_uncommitted(uncommitted, expected, len(entries)).violations,
        *check_readers_agree([each for reader in readers for each in reader.committed], committed),
        *_check_fold(committed, references),
    ]
    for partition, reference in references.items():
        violations.extend(_check_dead_letters(broker, partition, entries[partition]))
        violations.extend(_check_contacts(broker, cluster, partition, reference))
    return violations


def _published(partition: int, records: Sequence[StoredRecord]) -> list[Published]:
    return [Published(partition, each.offset, each.key or b"", each.value) for each in records]


def _check_fold(committed: Sequence[Published], references: Mapping[int, Reference]) -> list[str]:
    wanted: dict[SegmentId, set[ContactId]] = {}
    for reference in references.values():
        for segment_id, contacts in reference.members().items():
            if contacts:
                wanted.setdefault(segment_id, set()).update(contacts)
    found = fold(committed)
    return [
        f"segment {segment_id}: expected members {sorted(wanted.get(segment_id, set()))}, found {sorted(members)}"
        for segment_id in sorted(wanted.keys() | found.keys())
        if (members := found.get(segment_id, set())) != wanted.get(segment_id, set())
    ]


def _check_dead_letters(broker: SimulatedBroker, partition: int, entries: Sequence[LogEntry]) -> list[str]:
    """Every poison record is a dead letter once, and nothing else is."""
    wanted = [entry.offset for entry in entries if isinstance(entry.input, PoisonInput)]
    letters = broker.log(Topic.DEAD_LETTERS, partition).committed(0)
    found = [int(dict(letter.headers)[SOURCE_OFFSET_HEADER]) for letter in letters]
    return [] if found == wanted else [f"partition {partition}: expected dead letters of {wanted}, found {found}"]


def _check_contacts(broker: SimulatedBroker, cluster: Cluster, partition: int, reference: Reference) -> list[str]:
    """The changelog, folded, holds the contacts of the reference, and the owner's disk holds the same rows."""
    rows: dict[bytes, bytes] = {}
    for record in broker.log(Topic.CONTACTS_CHANGELOG, partition).committed(0):
        if record.value is None:
            rows.pop(record.key or b"", None)
        else:
            rows[record.key or b""] = record.value
    violations = []
    for contact_id in sorted(reference.contacts.keys() | {ContactId(key.decode()) for key in rows}):
        row = rows.get(contact_id.encode())
        found = decode_contact(row) if row is not None else None
        wanted = reference.contacts.get(contact_id)
        if (
            found is None
            or wanted is None
            or found.attributes != wanted.attributes
            or set(found.members) != wanted.members
            or found.members.keys() | found.left != wanted.keys
        ):
            violations.append(f"contact {contact_id}: expected {wanted}, found the row {found}")
    disk = cluster.disks[cluster.owners[partition].machine, partition]
    stored = {key[1:]: row for key, row in disk.rows.items() if key.startswith(CONTACT_ROWS)}
    if stored != rows:
        different = sorted(key.decode() for key in stored.keys() | rows.keys() if stored.get(key) != rows.get(key))
        violations.append(f"partition {partition}: expected the disk to equal the changelog, found {different} differ")
    return violations
