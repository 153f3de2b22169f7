"""Turns the bytes of an upload into the bytes that are kept: unpacked, in an encoding whose line ends are single bytes.

Rule: works on a stream, holds one piece at a time, and refuses as soon as it knows: a bomb is not unpacked to measure
it. UTF-16 and UTF-32 become UTF-8 here; other encodings are kept as sent and decoded when rows are read. It does not
know rows or columns.
"""

from __future__ import annotations

import codecs
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.ingest.imports.limits import GZIP_FREE_BYTES, GZIP_RATIO_MAX, PIECE_BYTES, SAMPLE_BYTES, UPLOAD_BYTES_MAX

HEAD_BYTES: Final = 4096
"""Enough of the beginning to tell UTF-16 without a byte order mark."""
GZIP_MAGIC: Final = b"\x1f\x8b"
NUL_SHARE_MIN: Final = 0.3
"""UTF-16 of Western text is NUL in nearly every second byte."""
_NOT_CSV: Final = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"PAR1", "a Parquet file"),
)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class UploadRefusedError(Exception):
    """The file cannot be imported as it is. `code` is stable; the texts say what was found and how to repair it."""

    def __init__(self, code: str, found: str, repair: str) -> None:
        super().__init__(found)
        self.code = code
        self.found = found
        self.repair = repair


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived. `bytes_kept` counts what is stored; `sent_as` names the encoding only when the bytes prove it."""

    bytes_sent: int
    bytes_kept: int
    sha256: str
    sample: bytes
    packed: bool
    sent_as: str | None
    is_utf8: bool
    is_ascii: bool


class Intake:
    """One upload. `feed` each part in order, then `finish`; both yield bytes to keep. Errors: UploadRefusedError."""

    def __init__(self) -> None:
        self._bytes_sent = 0
        self._bytes_unpacked = 0
        self._bytes_kept = 0
        self._head = b""
        self._started = False
        self._packed: bool | None = None
        self._unpacker: zlib._Decompress | None = None
        self._magic = b""
        self._recode: codecs.IncrementalDecoder | None = None
        self._sent_as: str | None = None
        self._validator: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._is_ascii = True
        self._lines = 1
        self._sha256 = hashlib.sha256()
        self._sample = bytearray()

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Take the next bytes as sent."""
        self._bytes_sent += len(part)
        if self._bytes_sent > UPLOAD_BYTES_MAX:
            raise _too_large("the file")
        if self._packed is None:
            self._magic += part
            if len(self._magic) < len(GZIP_MAGIC):
                return
            part, self._magic = self._magic, b""
            self._packed = part.startswith(GZIP_MAGIC)
        for piece in self._unpack(part) if self._packed else (part,):
            yield from self._take(piece)

    def finish(self) -> Iterator[bytes]:
        """Take the end of the upload."""
        if self._magic:
            yield from self._take(self._magic)
        if self._unpacker is not None and not self._unpacker.eof:
            raise UploadRefusedError(
                "gzip_truncated",
                f"the gzip file ends in the middle, after {self._bytes_sent} bytes",
                "send the whole file again",
            )
        yield from self._start()
        if self._recode is not None:
            yield from self._keep(self._recoded(b"", final=True))
        if self._validator is not None:
            self._validate(b"", final=True)

    def received(self) -> Received:
        """What arrived, after `finish`."""
        if not self._bytes_kept:
            raise UploadRefusedError("empty_file", "the file is empty", "send a CSV file with a header and rows")
        return Received(
            bytes_sent=self._bytes_sent,
            bytes_kept=self._bytes_kept,
            sha256=self._sha256.hexdigest(),
            sample=bytes(self._sample),
            packed=bool(self._packed),
            sent_as=self._sent_as,
            is_utf8=self._validator is not None,
            is_ascii=self._is_ascii,
        )

    def _unpack(self, part: bytes) -> Iterator[bytes]:
        """Unpack gzip, of one member or several, a piece at a time."""
        while part:
            if self._unpacker is None or self._unpacker.eof:
                if self._unpacker is not None and not part.strip(b"\0"):
                    return
                self._unpacker = zlib.decompressobj(wbits=31)
            try:
                piece = self._unpacker.decompress(part, PIECE_BYTES)
            except zlib.error as error:
                raise UploadRefusedError(
                    "gzip_damaged", f"the gzip file cannot be unpacked: {error}", "pack it again, or send it unpacked"
                ) from error
            part = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            self._bytes_unpacked += len(piece)
            if self._bytes_unpacked > max(GZIP_FREE_BYTES, GZIP_RATIO_MAX * self._bytes_sent):
                raise UploadRefusedError(
                    "gzip_ratio",
                    f"the gzip file unpacks to more than {GZIP_RATIO_MAX} times its size",
                    "send it unpacked",
                )
            if piece:
                yield piece

    def _take(self, piece: bytes) -> Iterator[bytes]:
        """Take unpacked bytes: look at the beginning first, then recode if that is needed."""
        if self._started:
            yield from self._keep(self._recoded(piece) if self._recode is not None else piece)
            return
        self._head += piece
        if len(self._head) >= HEAD_BYTES:
            yield from self._start()

    def _start(self) -> Iterator[bytes]:
        """Decide from the beginning of the file what it is."""
        if self._started:
            return
        self._started = True
        head, self._head = self._head, b""
        for magic, kind in _NOT_CSV:
            if head.startswith(magic):
                raise UploadRefusedError(
                    "not_csv", f"the file is {kind}, not CSV", "save it as CSV UTF-8 and send that"
                )
        for mark, name in _MARKS:
            if head.startswith(mark):
                self._sent_as, head = name, head[len(mark) :]
                break
        else:
            self._sent_as = _unmarked_utf16(head)
        if self._sent_as is not None and self._sent_as != "utf-8":
            self._recode = codecs.getincrementaldecoder(self._sent_as)()
        yield from self._keep(self._recoded(head) if self._recode is not None else head)

    def _recoded(self, piece: bytes, *, final: bool = False) -> bytes:
        """UTF-16 or UTF-32 as UTF-8."""
        if self._recode is None:
            return piece
        try:
            return self._recode.decode(piece, final).encode()
        except UnicodeError as error:
            raise UploadRefusedError(
                "invalid_encoding",
                f"line {self._lines}: the file begins as {self._sent_as} and does not go on as such",
                "save it as CSV UTF-8 and send that",
            ) from error

    def _keep(self, piece: bytes) -> Iterator[bytes]:
        """Check bytes that will be stored."""
        if not piece:
            return
        self._bytes_kept += len(piece)
        if self._bytes_kept > UPLOAD_BYTES_MAX:
            raise _too_large("the unpacked file")
        nul = piece.find(b"\0")
        if nul >= 0:
            line = self._lines + piece.count(b"\n", 0, nul)
            raise UploadRefusedError(
                "nul_byte",
                f"line {line}: the file holds a NUL byte, which text never does",
                "send a CSV file; if it is one, save it again as CSV UTF-8",
            )
        if not piece.isascii():
            self._is_ascii = False
        self._validate(piece)
        self._lines += piece.count(b"\n")
        self._sha256.update(piece)
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += piece[: SAMPLE_BYTES - len(self._sample)]
        yield piece

    def _validate(self, piece: bytes, *, final: bool = False) -> None:
        """Remember whether everything so far is UTF-8."""
        if self._validator is None:
            return
        try:
            self._validator.decode(piece, final)
        except UnicodeDecodeError as error:
            if self._sent_as == "utf-8":
                raise UploadRefusedError(
                    "invalid_encoding",
                    f"line {self._lines}: the file begins with UTF-8's mark and holds bytes that are not UTF-8",
                    "save it as CSV UTF-8 and send that",
                ) from error
            self._validator = None


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 without a mark, known by its NULs in every other byte."""
    pairs = len(head) // 2
    if pairs == 0:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd >= NUL_SHARE_MIN * pairs and not even:
        return "utf-16-le"
    if even >= NUL_SHARE_MIN * pairs and not odd:
        return "utf-16-be"
    return None


def _too_large(what: str) -> UploadRefusedError:
    return UploadRefusedError(
        "file_too_large", f"{what} is larger than {UPLOAD_BYTES_MAX} bytes (1 GiB)", "split it and import the parts"
    )
