"""State is backed up while it is written, and comes back on another machine, from a backup or from nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.workspace.backup import TOO_OLD_MS, restore_backup, write_backup
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.evaluators import Checkpoint
from schemas.topics import Topic
from segmentation.model import InstantMs
from services.evaluator.quarantine import OUTDATED_AFTER_MS
from services.evaluator.state_directory import claimed_state_directory
from services.runtime import audit, clock
from services.runtime.audit import AUDIT_FILE_NAME, ON_THE_MACHINE, Audit, AuditEvent
from tests.faults.process import Evaluator
from tests.faults.workspace import Workspace
from tidegate.cli.main import app

broker_needed = pytest.mark.broker


@broker_needed
@pytest.mark.timeout(240)
async def test_a_backup_taken_under_load_restores_elsewhere_and_the_rest_comes_from_the_changelogs(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=51)
    await workspace.create()
    with Evaluator(workspace, tmp_path / "first", static_member="one") as first:
        first.start()
        await first.ready()
        await workspace.load(600, rate_per_s=1_000)
        backed_up = asyncio.Event()
        load = asyncio.create_task(load_beyond(workspace, backed_up))
        made = await command(workspace, tmp_path / "first", "backup", str(tmp_path / "backup"))
        backed_up.set()
        await load
        await first.kill()
    shutil.rmtree(tmp_path / "first")
    restored = await command(
        workspace, tmp_path, "restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "second")
    )
    with Evaluator(workspace, tmp_path / "second", static_member="one") as second:
        second.start()
        await second.ready()
        read = records_recovered(second)
        await workspace.settled()
        assert await second.stop() == 0
    assert restored == made
    assert made["partitions"] == workspace.partitions
    changelogs = [await workspace.read(each) for each in (Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)]
    assert 0 < read < sum(map(len, changelogs)), "only what came after the backup is read"
    assert not await workspace.violations()


@broker_needed
@pytest.mark.timeout(240)
async def test_state_comes_back_from_the_changelogs_when_every_disk_is_lost(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    workspace = Workspace(broker, topic_prefix, seed=52)
    await workspace.create()
    for name in ("first", "second"):
        with Evaluator(workspace, tmp_path / name, static_member="one") as evaluator:
            evaluator.start()
            await evaluator.ready()
            await workspace.load(600, rate_per_s=2_000)
            await workspace.settled()
            await evaluator.kill()
        shutil.rmtree(tmp_path / name)
    assert not await workspace.violations()


def test_a_backup_is_restored_file_by_file_as_it_was(tmp_path: Path) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    restored = restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000 + TOO_OLD_MS))
    assert (tmp_path / "new" / "evaluator" / "0" / "000008.sst").read_bytes() == b"rows"
    assert (tmp_path / "new" / "keys.json").read_text() == "{}"
    assert (tmp_path / "new" / "imports" / "i1" / "import.json").exists()
    assert restored.left == []
    found = restored.backup
    assert (found.prefix, found.partition_count, found.contacts) == ("p-", 1, 7)
    with claimed_state_directory(tmp_path / "new" / "evaluator", "p-", 1):
        assert (tmp_path / "new" / "evaluator" / "0").exists(), "the restored state is its own workspace's"


def test_imports_that_end_while_they_are_copied_are_left_out_of_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = data_dir(tmp_path) / "imports"
    for name in ("i2", "i3"):
        (files / name).mkdir()
        for file in ("import.json", "rows.csv"):
            (files / name / file).write_text(name)
    copy = shutil.copy2

    def ending(source: Path, target: Path) -> None:
        if source.parent.name == "i1":
            (files / "i2" / "rows.csv").unlink()
            shutil.rmtree(files / "i3")
        if source.parent.name == "i2":
            source.unlink()
        copy(source, target)

    monkeypatch.setattr(shutil, "copy2", ending)
    made = write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    assert [name for name in made.files if name.startswith("imports")] == ["imports/i1/import.json"]


def test_no_event_of_the_audit_is_missing_from_a_backup_while_full_files_are_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES_MAX", 300)
    kept, copy, writers = Audit(data_dir(tmp_path) / AUDIT_FILE_NAME), shutil.copy2, []
    event = AuditEvent("key.created", "k", ON_THE_MACHINE)

    def append(events: int) -> None:
        for _ in range(events):
            kept.append(event)

    while not (data_dir(tmp_path) / "audit.2.jsonl").exists():
        append(1)
    before = [entry.number for entry in kept.newest_first()]

    def busy(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "audit.1.jsonl":
            writers.append(Thread(target=append, args=(3,)))
            writers[0].start()
            writers[0].join(0.5)

    monkeypatch.setattr(shutil, "copy2", busy)
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    writers[0].join()
    assert [entry.number for entry in Audit(tmp_path / "backup" / AUDIT_FILE_NAME).newest_first()] == before
    assert next(kept.newest_first()).number == before[0] + 3


def test_an_import_that_cannot_be_copied_fails_the_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_source: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", failing)
    with pytest.raises(OperationRefusedError, match=r"could not be written to .*: .*No space left"):
        write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    assert not list(tmp_path.glob("backup*"))


def test_a_backup_that_is_ended_or_lacks_a_partition_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, stopping, copy = checkpoint(tmp_path, written=1_000), Event(), shutil.copy2

    def ended(source: Path, target: Path) -> None:
        copy(source, target)
        stopping.set()

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", ended)
        with pytest.raises(OperationRefusedError, match="was ended before it was whole"):
            write_backup(tmp_path / "backup", [taken], data_dir(tmp_path), stopping)
    assert not list(tmp_path.glob("backup*"))
    shutil.rmtree(tmp_path / "checkpoint", ignore_errors=True)
    taken = checkpoint(tmp_path, written=1_000)
    taken.manifest["partition_count"] = 3
    with pytest.raises(OperationRefusedError, match=r"partitions \[1, 2\] of 3 changed hands meanwhile"):
        write_backup(tmp_path / "backup", [taken], data_dir(tmp_path), Event())
    assert not list(tmp_path.glob("backup*"))


def test_only_what_a_backup_names_is_restored_and_what_it_lacks_is_told(tmp_path: Path) -> None:
    made = tmp_path / "backup"
    write_backup(made, [checkpoint(tmp_path, written=clock.now_ms())], data_dir(tmp_path), Event())
    for name in ("evaluator/0/000009.sst", "audit.jsonl", "imports/i1/rows.csv"):
        (made / name).write_text("put here later")
    manifest = json.loads((made / "backup.json").read_text())
    (made / "backup.json").write_text(json.dumps({**manifest, "partition_count": 2}))
    said = CliRunner().invoke(app, ["admin", "restore", str(made), "--data-dir", str(tmp_path / "new")])
    assert said.exit_code == 0, said.output
    assert "note: partitions [1] of 2 are not in the backup" in said.stderr
    restored = [path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.*")]
    assert sorted(restored) == [
        "evaluator/0/000008.sst",
        "evaluator/workspace.json",
        "imports/i1/import.json",
        "keys.json",
    ]


def test_what_a_directory_had_already_is_left_and_told(tmp_path: Path) -> None:
    made, new = tmp_path / "backup", tmp_path / "new"
    write_backup(made, [checkpoint(tmp_path, written=clock.now_ms())], data_dir(tmp_path), Event())
    (new / "imports").mkdir(parents=True)
    (new / "keys.json").write_text('{"newer": {}}')
    said = CliRunner().invoke(app, ["admin", "restore", str(made), "--data-dir", str(new)])
    assert said.exit_code == 0, said.output
    told = f"{new} had imports, keys.json already, left as they are: to have those of the backup, copy them from {made}"
    assert told in said.stderr.replace("\n", " ")
    assert (new / "keys.json").read_text() == '{"newer": {}}'


def test_a_directory_that_cannot_be_looked_into_is_one_line(tmp_path: Path) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "evaluator").touch()
    with pytest.raises(OperationRefusedError, match=r"could not be restored to .*/new: .*Not a directory"):
        restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000))


@pytest.mark.parametrize("name", ["../keys.json", "evaluator/../../x", "/etc/hostname", "evaluator//x", "stack.json"])
def test_a_manifest_that_names_what_no_backup_holds_is_refused(tmp_path: Path, name: str) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    manifest = json.loads((tmp_path / "backup" / "backup.json").read_text())
    (tmp_path / "backup" / "backup.json").write_text(json.dumps({**manifest, "files": {name: "0"}}))
    with pytest.raises(OperationRefusedError, match="which none holds"):
        restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000))


def test_a_restore_that_finds_no_room_leaves_nothing_that_a_repeated_one_would_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    copy = shutil.copy2

    def cut_off(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name == "keys.json":
            target.write_text("{")
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", cut_off)
        with pytest.raises(OperationRefusedError, match="No space left"):
            restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000))
    assert not list((tmp_path / "new").iterdir())
    restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000))
    assert (tmp_path / "new" / "keys.json").read_text() == "{}"


def test_a_backup_older_than_half_the_time_of_tombstones_is_refused(tmp_path: Path) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    assert TOO_OLD_MS == OUTDATED_AFTER_MS, "what a restore takes, the evaluator must not delete"
    with pytest.raises(OperationRefusedError, match=r"12\.0 h old, and at most 12 h are taken"):
        restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_001 + TOO_OLD_MS))
    assert not (tmp_path / "new").exists()


def test_a_damaged_backup_and_a_directory_with_state_are_refused(tmp_path: Path) -> None:
    write_backup(tmp_path / "backup", [checkpoint(tmp_path, written=1_000)], data_dir(tmp_path), Event())
    with pytest.raises(OperationRefusedError, match="holds state already"):
        restore_backup(tmp_path / "backup", data_dir(tmp_path), InstantMs(1_000))
    with pytest.raises(OperationRefusedError, match="exists: name a directory"):
        write_backup(tmp_path / "backup", [], data_dir(tmp_path), Event())
    (tmp_path / "backup" / "evaluator" / "0" / "000008.sst").write_bytes(b"rowz")
    with pytest.raises(OperationRefusedError, match=r"1 files of the backup are damaged or missing"):
        restore_backup(tmp_path / "backup", tmp_path / "new", InstantMs(1_000))
    with pytest.raises(OperationRefusedError, match="is not a backup"):
        restore_backup(tmp_path, tmp_path / "new", InstantMs(1_000))


@pytest.mark.parametrize("told", ["", "{", "[]", '{"version": 1}', '{"version": 1, "files": 3}'])
def test_a_manifest_without_sense_is_refused_in_a_line(tmp_path: Path, told: str) -> None:
    (tmp_path / "backup.json").write_text(told)
    with pytest.raises(OperationRefusedError, match=r"is not a backup: backup\.json has no sense"):
        restore_backup(tmp_path, tmp_path / "new", InstantMs(1_000))


def test_state_of_another_workspace_is_set_aside_and_never_opened(tmp_path: Path) -> None:
    state = tmp_path / "evaluator"
    with claimed_state_directory(state, "", 8):
        (state / "0").mkdir()
    with claimed_state_directory(state, "", 8):
        assert (state / "0").exists()
    with claimed_state_directory(state, "v2-", 16):
        assert not (state / "0").exists()
        assert (tmp_path / "evaluator.other-1" / "0").exists()
    with claimed_state_directory(state, "v2-", 32):
        assert (tmp_path / "evaluator.other-2").exists()


async def load_beyond(workspace: Workspace, event: asyncio.Event) -> None:
    """Write until the event, and then a little more."""
    while not event.is_set():
        await workspace.load(100, rate_per_s=400)
    await workspace.load(300, rate_per_s=1_000)


async def command(workspace: Workspace, data_dir: Path, *arguments: str) -> dict[str, Any]:
    """Run `tidegate admin`; what it prints."""
    environment = {
        "TIDEGATE_KAFKA_BOOTSTRAP": workspace.broker,
        "TIDEGATE_TOPIC_PREFIX": workspace.prefix,
        "TIDEGATE_DATA_DIR": str(data_dir),
    }
    said = await asyncio.to_thread(CliRunner().invoke, app, ["admin", *arguments, "--json"], env=environment)
    assert said.exit_code == 0, said.output
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def records_recovered(evaluator: Evaluator) -> int:
    told = re.findall(r'"changelog_records": ?(\d+)', evaluator.log)
    return int(told[-1])


def data_dir(folder: Path) -> Path:
    """The data directory of a process that has run."""
    found = folder / "data"
    (found / "imports" / "i1").mkdir(parents=True, exist_ok=True)
    (found / "imports" / "i1" / "import.json").touch()
    (found / "evaluator" / "0").mkdir(parents=True, exist_ok=True)
    (found / "keys.json").write_text("{}")
    return found


def checkpoint(folder: Path, written: int) -> Checkpoint:
    """A checkpoint of one partition."""
    directory = folder / "checkpoint"
    (directory / "0").mkdir(parents=True)
    (directory / "0" / "000008.sst").write_bytes(b"rows")
    partitions = {"0": {"input": 3, "contacts": 7, "written": written}}
    return Checkpoint(directory, {"prefix": "p-", "partition_count": 1, "partitions": partitions})
