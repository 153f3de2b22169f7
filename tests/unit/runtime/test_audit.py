"""The audit file: on the disk before it is answered, whole after a crash, bounded, shared by processes."""

from __future__ import annotations

import json
import multiprocessing
import resource
import stat
from pathlib import Path

import pytest

from services.runtime import audit as module
from services.runtime.audit import Actor, Audit, AuditError, AuditEvent
from services.runtime.keys import KeyFile, Scope

BY = Actor("k1", "crm")


def event(number: int) -> AuditEvent:
    return AuditEvent("key.created", f"key {number}", BY, None, {"name": "n"}, "req_1")


def told(audit: Audit) -> list[str]:
    return [entry.event.subject for entry in audit.newest_first()]


def test_events_are_told_newest_first_as_they_were_written(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl", lambda: 1_000)
    assert told(audit) == []
    audit.append(event(1))
    audit.append(event(2))
    newest = next(audit.newest_first())
    assert (newest.number, newest.at_ms, newest.event) == (2, 1_000, event(2))
    assert told(audit) == ["key 2", "key 1"]
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_a_line_that_a_crash_broke_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.append(event(1))
    with path.open("ab") as file:
        file.write(b'{"n":2,"at":1,"act')
    audit.append(event(3))
    assert told(audit) == ["key 3", "key 1"]
    assert [entry.number for entry in audit.newest_first()] == [2, 1]


def test_what_is_kept_is_bounded_and_the_newest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 1_000)
    monkeypatch.setattr(module, "FILES_MAX", 3)
    audit = Audit(tmp_path / "audit.jsonl")
    for number in range(100):
        audit.append(event(number))
    numbers = [entry.number for entry in audit.newest_first()]
    assert numbers == list(range(100, 100 - len(numbers), -1))
    assert len(numbers) >= 8
    assert len(list(tmp_path.glob("audit*.jsonl"))) == 3
    assert sum(path.stat().st_size for path in tmp_path.glob("audit*.jsonl")) < 4_000


def _append_many(path: Path, name: str) -> None:
    for number in range(25):
        Audit(path).append(AuditEvent("key.created", f"{name} {number}", BY))


def test_processes_that_share_the_file_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(told(Audit(path))) == sorted(f"{name} {number}" for name in ("a", "b") for number in range(25))
    assert [json.loads(line)["n"] for line in path.read_bytes().splitlines()] == list(range(1, 51))


def test_a_change_of_keys_is_told_without_the_secret_or_its_hash(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made = keys.create("crm", {Scope.CONTACTS_WRITE}, by=BY, request_id="req_9")
    keys.revoke(made.key.id)
    revoked, created = list(keys.audit.newest_first())
    assert (created.event.action, created.event.subject, created.event.by) == ("key.created", made.key.id, BY)
    assert created.event.before is None
    assert created.event.after == revoked.event.before
    assert (revoked.event.action, revoked.event.after, revoked.event.by.key_id) == ("key.revoked", None, None)
    written = (tmp_path / "audit.jsonl").read_text()
    assert made.token.split("_", 2)[2] not in written
    assert made.key.sha256 not in written


def _append_where_half_of_a_line_has_room(path: Path) -> None:
    audit = Audit(path)
    audit.append(event(1))
    size = path.stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, limit[1]))
    with pytest.raises(AuditError, match="cannot be written"):
        audit.append(event(2))
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    audit.append(event(3))


def test_an_event_of_which_only_a_part_has_room_is_an_error_and_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    # In a process of its own, because the limit is one of the process.
    process = multiprocessing.get_context("spawn").Process(target=_append_where_half_of_a_line_has_room, args=(path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert told(Audit(path)) == ["key 3", "key 1"]


def test_a_key_that_cannot_be_audited_is_not_made(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(AuditError, match=r"audit\.jsonl cannot be written"):
        keys.create("crm", ())
    assert keys.keys() == []
