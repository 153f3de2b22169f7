"""Where imports are kept: the same on a local folder and on an object store."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.ingest.imports.files import ImportFiles
from services.ingest.imports.records import Checkpoint

FIRST, SECOND = "imp_0000000001", "imp_0000000002"


@pytest.fixture(params=["folder", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ImportFiles:
    where = str(tmp_path / "deep" / "imports") if request.param == "folder" else f"memory://{uuid.uuid4().hex}/imports"
    made = ImportFiles(where)
    made.prepare()
    return made


def test_an_upload_is_read_back_from_any_byte(files: ImportFiles) -> None:
    with files.new_upload(FIRST) as file:
        file.write(b"0123456789")
    with files.upload(FIRST) as file:
        file.seek(4)
        assert file.read(3) == b"456"
    files.remove_upload(FIRST)
    files.remove_upload(FIRST)
    with pytest.raises(FileNotFoundError), files.upload(FIRST):
        pass


def test_a_checkpoint_is_replaced_whole(files: ImportFiles) -> None:
    assert files.checkpoint(FIRST) is None
    with files.new_upload(FIRST) as file:
        file.write(b"x")
    files.save_checkpoint(FIRST, Checkpoint(row=5, offsets={0: 7}))
    files.save_checkpoint(FIRST, Checkpoint(row=9, offsets={0: 8, 1: 2}))
    assert files.checkpoint(FIRST) == Checkpoint(row=9, offsets={0: 8, 1: 2})


def test_rejected_rows_come_back_in_the_file_s_order_and_only_up_to_the_checkpoint(files: ImportFiles) -> None:
    for first_row in (10_000, 0, 5_000):
        files.save_rejected(FIRST, first_row, b"%d\r\n" % first_row)
    files.save_rejected(FIRST, 5_000, b"again\r\n")
    assert b"".join(files.rejected(FIRST, 10_000)) == b"0\r\nagain\r\n"
    assert b"".join(files.rejected(FIRST, 10_001)) == b"0\r\nagain\r\n10000\r\n"
    assert list(files.rejected(SECOND, 10_001)) == []


def test_a_second_dry_run_forgets_what_the_first_rejected(files: ImportFiles) -> None:
    files.save_tried_rejected(FIRST, 0, b"first\r\n")
    files.forget_tried(FIRST)
    files.save_tried_rejected(FIRST, 5, b"second\r\n")
    assert b"".join(files.rejected(FIRST, None)) == b"second\r\n"


def test_imports_are_listed_newest_first_and_nothing_else_is(files: ImportFiles) -> None:
    assert files.ids() == []
    for import_id in (FIRST, SECOND):
        with files.new_upload(import_id) as file:
            file.write(b"x")
    files.remember_mapping("signature", b"{}")
    files.remember_written("digest", FIRST)
    assert files.ids() == [SECOND, FIRST]
    assert files.remembered_mapping("signature") == b"{}"
    assert files.remembered_mapping("other") is None
    assert files.written_as("digest") == FIRST
    files.remove(SECOND)
    assert files.ids() == [FIRST]


def test_two_who_keep_the_same_file_at_once_both_keep_it_whole(tmp_path: Path) -> None:
    """As two imports of files with the same columns do that begin together, and two who cancel the same import."""
    files = ImportFiles(str(tmp_path))
    contents = [name * 100_000 for name in (b"a", b"b")]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(25):
            for kept in [threads.submit(files.remember_mapping, "signature", content) for content in contents]:
                kept.result()
            assert files.remembered_mapping("signature") in contents
    assert [path.name for path in (tmp_path / "mappings").iterdir()] == ["signature.json"]


def test_several_who_begin_at_once_in_one_place_all_find_it_usable(files: ImportFiles) -> None:
    with ThreadPoolExecutor(4) as threads:
        for begun in [threads.submit(files.prepare) for _ in range(100)]:
            begun.result()
