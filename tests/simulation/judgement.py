"""What a simulated history must have led to: published sequences, states, stores and dead letters.

Rule: expectations come from the input log and the oracle alone, never from what the code under test says of itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from schemas.codec import decode_contact
from schemas.topics import Topic
from segmentation.expression.readability import AskedReading, can_read
from segmentation.model import ChangeKind, ContactId, ContactState, SegmentId
from services.evaluator import rows
from tests.oracle.checker import Published, check_committed, check_readers_agree, check_uncommitted, fold
from tests.oracle.reference import DeleteInput, ExpectedChange, LogEntry, PoisonInput, Reference, WriteInput
from tests.simulation.broker import SimulatedBroker, StoredRecord
from tests.simulation.cluster import Cluster

ROW_KINDS = {
    "contact": rows.CONTACTS_START,
    "listing": rows.LISTINGS_START,
    "count": rows.COUNTS_START,
    "deadline": rows.DUE_START,
}
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
        violations.extend(_check_state(broker, cluster, partition, reference))
        violations.extend(_check_erased(cluster, partition, entries[partition], reference))
        violations.extend(_check_former_lives(cluster, partition, entries[partition]))
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


def _check_state(broker: SimulatedBroker, cluster: Cluster, partition: int, reference: Reference) -> list[str]:
    """The changelog, folded, holds the reference's contacts; the disk holds the same, and what follows from it."""
    folded: dict[bytes, bytes] = {}
    for record in broker.log(Topic.CONTACTS_CHANGELOG, partition).committed(0):
        if record.value is None:
            folded.pop(record.key or b"", None)
        else:
            folded[record.key or b""] = record.value
    contacts = {ContactId(key.decode()): decode_contact(row) for key, row in folded.items()}
    disk = cluster.disk(partition)
    return [
        *_check_contacts(contacts, reference),
        *_check_rows(partition, "contact", disk.rows, {rows.CONTACTS_START + key: row for key, row in folded.items()}),
        *_check_derived(partition, contacts, disk.rows),
    ]


def _check_contacts(contacts: Mapping[ContactId, ContactState], reference: Reference) -> list[str]:
    """Attributes, memberships with since-when, and the keys that an erasure must reach."""
    violations = []
    for contact_id in sorted(reference.contacts.keys() | contacts.keys()):
        found, wanted = contacts.get(contact_id), reference.contacts.get(contact_id)
        if found is None or wanted is None:
            violations.append(f"contact {contact_id}: expected {wanted}, found the row {found}")
            continue
        since = {
            event.segment_id: event.at
            for event in reference.events.get(contact_id, [])
            if isinstance(event, ExpectedChange)
            and event.segment_id in wanted.members
            and event.kind is ChangeKind.ENTER
        }
        for what, expected, has in (
            ("attributes", wanted.attributes, found.attributes),
            ("members since", since, found.members),
            ("keys", wanted.keys, found.members.keys() | found.left),
        ):
            if expected != has:
                violations.append(f"contact {contact_id}: expected {what} {expected}, found {has}")
    return violations


def _check_erased(cluster: Cluster, partition: int, entries: Sequence[LogEntry], reference: Reference) -> list[str]:
    """Nothing on the disk names a contact that was erased and never came back."""
    written = {entry.input.contact_id for entry in entries if isinstance(entry.input, WriteInput)}
    disk = cluster.disk(partition)
    violations = []
    for contact_id in sorted(written - reference.contacts.keys()):
        names = (contact_id.encode(), json.dumps(contact_id, ensure_ascii=False)[1:-1].encode())
        for key, row in disk.rows.items():
            if any(name in key or name in row for name in names):
                violations.append(f"contact {contact_id}: expected no trace of it on the disk, found {key!r}: {row!r}")
    return violations


def _check_former_lives(cluster: Cluster, partition: int, entries: Sequence[LogEntry]) -> list[str]:
    """No history on the disk holds a change of a contact from before its last erasure."""
    clock = 0
    erased: dict[str, tuple[int, int]] = {}
    for entry in entries:
        clock = max(clock, entry.timestamp)
        if isinstance(entry.input, DeleteInput):
            erased[entry.input.contact_id] = (clock, entry.offset)
    disk = cluster.disk(partition)
    violations = []
    for key, row in disk.rows.items():
        # A contact's own history begins with the list of the segments whose histories name it.
        lines = row.split(b"\n")[1:] if key.startswith(b"g") else [row] if key.startswith(b"h") else []
        for line in lines:
            segment_id, _, contact_id, kind, at, offset, *_ = json.loads(line)
            if (at, offset) <= erased.get(contact_id, (0, 0)):
                violations.append(
                    f"contact {contact_id}: expected no change from before its erasure at {erased[contact_id]} on the "
                    f"disk, found {kind} of {segment_id} at {(at, offset)} in {key!r}"
                )
    return violations


def _check_derived(
    partition: int, contacts: Mapping[ContactId, ContactState], found: Mapping[bytes, bytes]
) -> list[str]:
    """Listings, counts and deadlines on the disk are those that follow from the contacts."""
    listings: dict[bytes, bytes] = {}
    counts: Counter[bytes] = Counter()
    for contact_id, contact in contacts.items():
        for segment_id, since in contact.members.items():
            listings[rows.listing_key(segment_id, contact_id)] = b"%d" % since
            counts[rows.count_key(segment_id)] += 1
    deadlines = {
        rows.due_key(contact.due, contact_id): b""
        for contact_id, contact in contacts.items()
        if contact.due is not None
    }
    # A count row also numbers the history of its segment, and stays when the last member leaves.
    counted = {key: rows.Count.decode(row).members for key, row in found.items() if key.startswith(rows.COUNTS_START)}
    present = {key: b"%d" % members for key, members in counted.items() if members}
    return [
        *_check_rows(partition, "listing", found, listings),
        *_check_rows(partition, "count", present, {key: b"%d" % count for key, count in counts.items()}),
        *_check_rows(partition, "deadline", found, deadlines),
        *_check_unreadable(contacts, found),
    ]


def _check_unreadable(contacts: Mapping[ContactId, ContactState], found: Mapping[bytes, bytes]) -> list[str]:
    """Each complete count of unreadable values is that of looking at every contact, and its samples are among them."""
    violations = []
    for key, row in found.items():
        if not key.startswith(rows.UNREADABLE_START):
            continue
        asked = AskedReading(*json.loads(key[1:]))
        count, samples = json.loads(row)
        values = ((contact_id, contact.attributes.get(asked.attribute)) for contact_id, contact in contacts.items())
        holders = {contact_id for contact_id, value in values if value is not None and not can_read(asked, value)}
        if count != len(holders) or not {contact_id for contact_id, _ in samples} <= holders:
            violations.append(f"unreadable {asked}: expected {sorted(holders)}, found {count} with samples {samples}")
    return violations


def _check_rows(partition: int, kind: str, found: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes]) -> list[str]:
    there = {key: row for key, row in found.items() if key.startswith(ROW_KINDS[kind])}
    return [
        f"partition {partition}, {kind} row {key!r}: expected {wanted.get(key)!r} on the disk, found {there.get(key)!r}"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key) != wanted.get(key)
    ]
