"""The bytes of an upload: unpacked, recoded, bounded, and refused with a reason."""

from __future__ import annotations

import gzip
import io
import itertools
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.imports import intake as intake_module
from services.ingest.imports.intake import Intake, Received, UploadRefusedError

TEXT = "id,name\n1,Änne\n2,Bob\n"


def take(data: bytes, part_bytes: int = 1 << 16) -> tuple[bytes, Received]:
    intake = Intake()
    kept = b""
    for start in range(0, len(data), part_bytes):
        kept += b"".join(intake.feed(data[start : start + part_bytes]))
    kept += b"".join(intake.finish())
    return kept, intake.received()


def refused(data: bytes, part_bytes: int = 1 << 16) -> UploadRefusedError:
    with pytest.raises(UploadRefusedError) as raised:
        take(data, part_bytes)
    assert raised.value.found
    assert raised.value.repair
    return raised.value


@pytest.mark.parametrize("part_bytes", [1, 3, 1 << 16])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_form_is_kept_as_utf_8_without_its_mark(encoding: str, part_bytes: int) -> None:
    kept, received = take(TEXT.encode(encoding), part_bytes)
    assert kept.decode() == TEXT
    assert received.is_utf8


def test_latin_1_is_kept_as_sent_and_known_not_to_be_utf_8() -> None:
    kept, received = take(TEXT.encode("latin-1"))
    assert kept == TEXT.encode("latin-1")
    assert not received.is_utf8


@pytest.mark.parametrize("part_bytes", [1, 7, 1 << 16])
def test_gzip_of_several_members_with_padding_is_unpacked(part_bytes: int) -> None:
    packed = gzip.compress(b"id,name\n") + gzip.compress(b"1,Bob\n") + b"\0" * 20
    kept, received = take(packed, part_bytes)
    assert kept == b"id,name\n1,Bob\n"
    assert received.packed
    assert received.bytes_sent == len(packed)


def test_truncated_gzip_is_refused() -> None:
    assert refused(gzip.compress(TEXT.encode() * 100)[:-9]).code == "gzip_truncated"


def test_gzip_with_a_wrong_checksum_is_refused() -> None:
    packed = bytearray(gzip.compress(TEXT.encode() * 100))
    packed[-6] ^= 0xFF
    assert refused(bytes(packed)).code == "gzip_damaged"


def test_gzip_followed_by_something_else_is_refused() -> None:
    assert refused(gzip.compress(TEXT.encode()) + b"more,rows\n").code == "gzip_damaged"


def test_a_gzip_bomb_is_refused_long_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"a,b\n" * 50_000_000, 1)
    kept: list[int] = []
    with pytest.raises(UploadRefusedError) as raised:
        kept.extend(map(len, Intake().feed(bomb)))
    assert raised.value.code == "gzip_ratio"
    assert sum(kept) < 40 * len(bomb)


def test_a_small_repetitive_file_may_be_packed_as_tightly_as_it_likes() -> None:
    kept, _ = take(gzip.compress(b"id,plan\n" + b"x,free\n" * 100_000))
    assert len(kept) == 8 + 7 * 100_000


def test_a_nul_byte_is_refused_with_its_line() -> None:
    error = refused(b"id,name\n1,a\n2,b\0c\n")
    assert error.code == "nul_byte"
    assert "line 3" in error.found


def test_the_line_of_a_nul_byte_counts_lines_of_earlier_parts() -> None:
    assert "line 5001" in refused(b"id,name\n" + b"1,a\n" * 4_999 + b"\0\n", 1000).found


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        (b"PAR1\x15\x04", "Parquet"),
    ],
)
def test_other_kinds_of_files_are_called_by_their_names(data: bytes, kind: str) -> None:
    error = refused(data)
    assert error.code == "not_csv"
    assert kind in error.found


def test_a_workbook_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert "Excel" in refused(out.getvalue()).found


def test_an_empty_file_is_refused() -> None:
    for data in (b"", b"\xef\xbb\xbf", gzip.compress(b"")):
        assert refused(data).code == "empty_file"


def test_a_file_that_begins_as_utf_16_and_goes_on_otherwise_is_refused() -> None:
    assert refused("id,name\n".encode("utf-16") + b"\xd8").code == "invalid_encoding"
    assert refused(b"\xff\xfe" + b"\x00\xdc" * 10).code == "invalid_encoding"


def test_a_marked_utf_8_file_with_other_bytes_is_refused_with_its_line() -> None:
    error = refused(b"\xef\xbb\xbfid,name\n1,\xff\n")
    assert error.code == "invalid_encoding"


def test_a_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "UPLOAD_BYTES_MAX", 100)
    assert refused(b"a" * 101).code == "file_too_large"
    assert take(b"a" * 100)[0] == b"a" * 100
    grown = gzip.compress(b"b" * 101)
    assert len(grown) < 100
    assert refused(grown).code == "file_too_large"


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4), packed=st.booleans())
def test_what_is_kept_does_not_depend_on_how_the_upload_is_cut(data: bytes, cuts: list[int], packed: bool) -> None:
    sent = zlib.compress(data, wbits=31) if packed else data

    def outcome(parts: list[bytes]) -> tuple[bytes, Received] | str:
        intake = Intake()
        try:
            kept = b"".join(piece for part in parts for piece in intake.feed(part)) + b"".join(intake.finish())
            return kept, intake.received()
        except UploadRefusedError as error:
            return error.code

    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    assert outcome([sent]) == outcome([sent[a:b] for a, b in itertools.pairwise(edges)])
