"""The claim of an import whose place fails now and then: renewed when it can be, and nothing is written without one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from segmentation.model import InstantMs
from services.ingest.imports import workshop as module
from services.ingest.imports.bulk_log import BulkLog
from services.ingest.imports.claims import Claims
from services.ingest.imports.conversion import ConvertedRow
from services.ingest.imports.dialect import DialectChoice
from services.ingest.imports.dry_run import DryRunner
from services.ingest.imports.files import ImportFiles
from services.ingest.imports.limits import ABANDONED_MS
from services.ingest.imports.mapping import ImportMapping
from services.ingest.imports.records import ImportRecord, ImportState
from services.ingest.imports.service import Imports
from services.ingest.imports.workshop import Work, Workshop
from services.runtime import clock
from services.runtime.problems import ProblemError
from tests.unit.imports.test_cut_off import NoContacts, look_round
from tests.waiting import until

WAIT_S = 20.0
LOCKED_OUT_S = 0.5
"""How long one that looks under a lock is held up, for another to look too if it could."""


@dataclass
class HeldLog:
    """A log that takes rows, and acknowledges none before it is let go."""

    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    rows: int = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def ends(self) -> dict[int, int]:
        return {0: 0}

    async def rows_since(self, _offsets: Mapping[int, int], _import_id: str) -> dict[int, int]:
        return {}

    async def append(self, rows: Iterable[ConvertedRow]) -> None:
        self.rows += len(list(rows))

    async def flush(self) -> dict[int, int]:
        await self.let_go.wait()
        return {0: self.rows}


@dataclass
class World:
    """A process of ingest with one import under way."""

    files: ImportFiles
    workshop: Workshop
    imports: Imports
    log: HeldLog
    record: ImportRecord

    @property
    def work(self) -> Work:
        work = self.workshop.in_hand(self.record.id)
        assert work is not None
        return work

    def stored(self) -> ImportRecord:
        record = self.files.record(self.record.id)
        assert record is not None
        return record


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "RENEWED_EVERY_S", 0.02)
    async with importing(tmp_path) as made:
        yield made


@asynccontextmanager
async def importing(
    folder: Path, open_log: Callable[[Callable[[], bool]], BulkLog] | None = None
) -> AsyncIterator[World]:
    files, log = ImportFiles(str(folder)), HeldLog()
    claims = Claims(files, "here", clock.now_ms)
    workshop = Workshop(files, open_log or (lambda _: log), 1, clock.now_ms, DryRunner(NoContacts()), claims)
    imports = Imports(files, workshop, tuple, clock.now_ms)
    await workshop.start()

    record = await uploaded(imports, b"id,plan\nc1,pro\n")
    yield World(files, workshop, imports, log, await imports.commit(record.id, again=False))
    log.let_go.set()
    await workshop.stop()


async def uploaded(imports: Imports, content: bytes) -> ImportRecord:
    """A file that waits for its commit."""

    async def parts() -> AsyncIterator[bytes]:
        yield content

    record = await imports.upload(await imports.receive(parts()), "file.csv", DialectChoice())
    return await imports.set_mapping(record.id, ImportMapping(id_column="id", columns={}))


@pytest.fixture(params=[True, False], ids=["a folder", "a place without locks"])
def has_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(ImportFiles, "has_locks", False)
        monkeypatch.setattr(ImportFiles, "alone", lambda _: contextlib.nullcontext())
    return bool(request.param)


@pytest.fixture
def at_once(world: World, has_locks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look before either claims, as far as the place lets them; from when the world stands."""
    assert world.stored().state is ImportState.RUNNING
    looked = threading.Barrier(2)
    is_free = Claims.is_free

    def is_free_for_both(claims: Claims, import_id: str) -> bool:
        found = is_free(claims, import_id)
        with contextlib.suppress(threading.BrokenBarrierError):
            looked.wait(LOCKED_OUT_S if has_locks else WAIT_S)
        return found

    monkeypatch.setattr(Claims, "is_free", is_free_for_both)


def two_processes(world: World, log: HeldLog) -> list[Workshop]:
    claims = [Claims(world.files, name, clock.now_ms) for name in ("one", "other")]
    runner = DryRunner(NoContacts())
    return [Workshop(world.files, lambda _: log, 1, clock.now_ms, runner, each) for each in claims]


@pytest.mark.usefixtures("at_once")
async def test_of_two_processes_that_are_asked_at_once_to_commit_an_import_one_writes_it(world: World) -> None:
    await world.workshop.stop()
    world.files.remove_claim(world.record.id)
    world.files.save_record(world.stored().model_copy(update={"state": ImportState.UPLOADED}))
    log = HeldLog()
    both = [Imports(world.files, workshop, tuple, clock.now_ms) for workshop in two_processes(world, log)]
    asked = (imports.commit(world.record.id, again=False) for imports in both)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, ProblemError)]
    assert [(answer.status, answer.code) for answer in refused] == [(409, "wrong_state")]
    log.let_go.set()
    await until(lambda: world.stored().state, WAIT_S, "the end", satisfies=lambda s: s is ImportState.COMPLETED)
    await asyncio.gather(*(imports.workshop.stop() for imports in both))
    assert log.rows == 1


async def test_of_two_processes_that_are_asked_at_once_to_commit_the_same_file_one_writes_it(
    world: World, monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    await world.workshop.stop()
    log = HeldLog()
    both = [Imports(world.files, workshop, tuple, clock.now_ms) for workshop in two_processes(world, log)]
    uploads = [await uploaded(imports, b"id,plan\nc7,pro\n") for imports in both]
    looked = threading.Barrier(2)
    written_as = world.files.written_as

    def written_as_for_both(digest: str) -> str | None:
        found = written_as(digest)
        with contextlib.suppress(threading.BrokenBarrierError):
            looked.wait(LOCKED_OUT_S)
        return found

    monkeypatch.setattr(world.files, "written_as", written_as_for_both)
    asked = zip(both, uploads, strict=True)
    answers = await asyncio.gather(*(imports.commit(one.id, again=False) for imports, one in asked))
    assert len({answer.id for answer in answers}) == 1, "one of them is the other's repetition"
    log.let_go.set()

    def states() -> set[ImportState | None]:
        stored = [world.files.record(one.id) for one in uploads]
        return {None if record is None else record.state for record in stored}

    wanted = {ImportState.COMPLETED, ImportState.CANCELLED}
    await until(states, WAIT_S, "both to end", satisfies=lambda found: found == wanted)
    await asyncio.gather(*(imports.workshop.stop() for imports in both))
    assert log.rows == 1
    assert [world.files.claim(one.id) for one in uploads] == [None, None]


async def test_an_import_that_another_process_carried_out_since_it_was_looked_at_is_not_begun_again(
    world: World,
) -> None:
    await world.workshop.stop()
    (other, _) = two_processes(world, world.log)
    waiting = world.stored().model_copy(update={"state": ImportState.UPLOADED})
    await other.finish(waiting, ImportState.COMPLETED)
    with pytest.raises(ProblemError, match="the import has ended"):
        await other.claim(waiting.model_copy(update={"state": ImportState.RUNNING}))
    assert world.stored().state is ImportState.COMPLETED
    assert other.claims.is_free(world.record.id)
    assert world.files.claim(world.record.id) is None


@pytest.mark.usefixtures("at_once")
async def test_of_two_processes_that_find_the_same_import_left_one_goes_on_with_it(world: World) -> None:
    await world.workshop.stop()
    world.files.remove_claim(world.record.id)
    log = HeldLog()
    both = two_processes(world, log)
    await asyncio.gather(*(workshop.start() for workshop in both))
    assert sum(workshop.in_hand(world.record.id) is not None for workshop in both) == 1
    log.let_go.set()
    await until(lambda: world.stored().state, WAIT_S, "the end", satisfies=lambda s: s is ImportState.COMPLETED)
    assert log.rows == 1
    await asyncio.gather(*(workshop.stop() for workshop in both))


async def test_an_import_that_another_works_on_for_longer_than_uploads_are_kept_is_let_be(
    world: World, tmp_path: Path
) -> None:
    late = InstantMs(clock.now_ms() + ABANDONED_MS + 1)
    assert Claims(world.files, "there", lambda: late).take(world.record.id)
    await look_round(ImportFiles(str(tmp_path)), lambda: late)
    assert world.stored().state is ImportState.RUNNING


async def test_an_import_that_is_committed_just_when_it_would_be_forgotten_is_not(world: World) -> None:
    await world.workshop.stop()
    committed = world.stored()
    world.files.save_record(committed.model_copy(update={"state": ImportState.UPLOADED}))
    late = InstantMs(clock.now_ms() + ABANDONED_MS + 1)
    claims = Claims(world.files, "here", lambda: late)
    other = Workshop(world.files, lambda _: world.log, 1, lambda: late, DryRunner(NoContacts()), claims)
    async with other.changing:
        looking = asyncio.create_task(other._look_round())
        await asyncio.sleep(0.2)
        world.files.save_record(committed)
    await looking
    assert world.stored().state is ImportState.RUNNING


def failing(monkeypatch: pytest.MonkeyPatch, files: ImportFiles, name: str) -> Callable[[], None]:
    """Have the place of files refuse something; gives what mends it."""
    usual: Any = getattr(files, name)
    refused = True

    def refuse(*arguments: Any) -> Any:
        if refused:
            raise OSError(5, "Input/output error")
        return usual(*arguments)

    def mend() -> None:
        nonlocal refused
        refused = False

    monkeypatch.setattr(files, name, refuse)
    return mend


async def test_who_cannot_renew_a_claim_stops_before_another_may_begin_and_goes_on_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend = failing(monkeypatch, world.files, "save_claim")
    world.work.claimed_until_s = clock.monotonic() + 0.2
    task = world.work.task
    assert task is not None
    async with asyncio.timeout(WAIT_S):
        await asyncio.wait({task})
    assert (world.stored().state, world.stored().problem) == (ImportState.RUNNING, None)
    mend()
    world.log.let_go.set()
    await world.workshop._look_round()
    await until(lambda: world.stored().state, WAIT_S, "the end", satisfies=lambda s: s is ImportState.COMPLETED)


async def test_a_claim_that_could_not_be_renewed_once_is_renewed_again_and_hears_what_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend = failing(monkeypatch, world.files, "claim")
    await asyncio.sleep(0.2)
    mend()
    world.files.save_record(world.record.model_copy(update={"cancel_requested": True}))
    await until(lambda: world.stored().state, WAIT_S, "the end", satisfies=lambda s: s is ImportState.CANCELLED)


async def test_a_claim_that_cannot_be_given_back_leaves_no_import_at_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, world.files, "remove_claim")
    world.log.let_go.set()
    gone = "the import to be in nobody's hands"
    await until(lambda: world.workshop.in_hand(world.record.id) is None, WAIT_S, gone)
    assert world.stored().state is ImportState.COMPLETED
