"""Imports whose disk takes no more: said in words, nothing half-kept, and taken up again once there is room."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.topics import Topic
from services.ingest.imports import run as run_module
from tests.services.ingest.conftest import Running, read_all
from tests.services.ingest.imports.test_import_path import ended
from tests.services.ingest.imports.test_lifecycle import COMMIT, FILE, SMALL, commit

pytestmark = pytest.mark.broker


async def test_a_disk_that_fails_ends_the_import_with_what_to_do_and_a_commit_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "CHECKPOINT_ROWS", 1_000)
    files = running.ingest.imports.files
    save = files.save_checkpoint
    full = {"after": 3}

    def failing(import_id: str, checkpoint: Any) -> None:
        if full["after"] == 0:
            raise OSError(28, "No space left on device")
        full["after"] -= 1
        save(import_id, checkpoint)

    monkeypatch.setattr(files, "save_checkpoint", failing)
    shown = await ended(running, (await commit(running, FILE))["id"])
    assert shown["state"] == "failed"
    assert "No space left" in shown["problem"]["message"]
    assert shown["accepted"] == 2_000 - 1
    full["after"] = -1
    assert (await running.http.post(f"/api/v2/imports/{shown['id']}/commit")).status_code == 202
    done = await ended(running, shown["id"])
    assert (done["state"], done["accepted"], done["problem"]) == ("completed", 20_000, None)
    assert len(await read_all(running.settings, Topic.CONTACT_CHANGES)) == 20_000


@pytest.mark.parametrize("full_after", [0, 1, 2, 3, 4])
async def test_an_upload_for_which_there_is_no_room_is_not_now_and_leaves_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, full_after: int
) -> None:
    files, places = running.ingest.imports.files, running.settings.data_dir / "imports"
    write, left = files._write, [full_after]

    def failing(path: str, content: bytes) -> None:
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "_write", failing)
        answer = await running.http.post(COMMIT, content=SMALL)
    assert (answer.status_code, answer.json()["code"]) == (503, "files_unusable")
    assert "No space left" in answer.json()["title"]
    assert answer.headers["retry-after"]
    assert list(places.glob("imp_*")) == []
    assert (await ended(running, (await commit(running, SMALL))["id"]))["accepted"] == 2


async def test_a_step_that_the_disk_does_not_take_is_not_now_and_may_be_taken_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/api/v2/imports/{(await running.http.post('/api/v2/imports', content=SMALL)).json()['id']}"
    mapping = {"id_column": "id", "columns": {"plan": {"attribute": "plan"}}}

    def full(_path: str, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    for step in ("mapping", "dry-run", "commit", "cancel"):
        method, body = ("PUT", mapping) if step == "mapping" else ("POST", None)
        if step != "mapping":
            assert (await running.http.put(f"{path}/mapping", json=mapping)).status_code == 200
        with monkeypatch.context() as patched:
            patched.setattr(running.ingest.imports.files, "_write", full)
            answer = await running.http.request(method, f"{path}/{step}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "files_unusable"), step
        assert (await running.http.get(path)).json()["state"] == "uploaded"
    assert (await running.http.post(f"{path}/commit")).status_code == 202
    assert (await ended(running, path.rpartition("/")[2]))["accepted"] == 2
