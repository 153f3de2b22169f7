"""Reads an upload that a form sends (`multipart/form-data`): the fields before the file, then the file as it arrives.

Rule: never more in hand than one piece of the request; nothing is written to a temporary place. The fields say what the
query may say, so they come before the file; a field behind it is refused, because the file was read without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from segmentation.errors import Problem
from services.runtime.problems import ProblemError, invalid

MULTIPART: Final = "multipart/form-data"
FILE_FIELD: Final = "file"
FIELDS_MAX: Final = 2_100
"""Two for each of a thousand columns, and the rest."""
FIELDS_BYTES_MAX: Final = 1024 * 1024


class FormUpload:
    """One form. `fields` first, then `file`."""

    def __init__(self, parts: AsyncIterator[bytes], content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != MULTIPART.encode() or not boundary:
            raise ProblemError(400, "invalid_form", "the form names no boundary", "let your client make the header")
        self._parts = parts
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_content,
                "on_part_data": self._content,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._fields: list[tuple[str, str]] = []
        self._held_bytes = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._value = bytearray()
        self._file: list[bytes] = []
        self._in_file = self._file_begun = self._ended = False

    async def fields(self) -> list[tuple[str, str]]:
        """Name and value of each field before the file, the file's own name as `filename`. Errors: ProblemError."""
        while not self._file_begun:
            if not await self._read():
                message = f"the form has no file in its field `{FILE_FIELD}`"
                raise invalid((Problem("no_file", message, "curl -F file=@contacts.csv", pointer=""),))
        return list(self._fields)

    async def file(self) -> AsyncIterator[bytes]:
        """The file, in pieces, to its end and the form's. Errors: ProblemError."""
        while True:
            pieces, self._file = self._file, []
            for piece in pieces:
                yield piece
            if self._ended or not await self._read():
                break
        for piece in self._file:
            yield piece
        if not self._ended:
            raise ProblemError(400, "upload_broken_off", "the form did not arrive whole", "send it again")

    async def _read(self) -> bool:
        """Take the next piece of the request; False at its end."""
        part = await anext(self._parts, None)
        if part is None:
            return False
        try:
            self._parser.write(part)
        except (FormParserError, UnicodeDecodeError) as error:
            raise ProblemError(400, "invalid_form", "the form cannot be read", "send it again") from error
        return True

    def _begin_part(self) -> None:
        self._headers = {}
        self._value = bytearray()
        self._hold(0)

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())
        self._hold(len(name) + len(value))

    def _begin_content(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode()
        self._in_file = self._name == FILE_FIELD
        if self._file_begun:
            hint = "send every field before the file"
            message = f"the field `{self._name[:100]}` comes behind the file"
            raise invalid((Problem("field_behind_file", message, hint, pointer=""),))
        if self._in_file:
            self._file_begun = True
            named = options.get(b"filename", b"").decode(errors="replace")
            if named and all(name != "filename" for name, _ in self._fields):
                self._fields.append(("filename", named))
        elif len(self._fields) >= FIELDS_MAX:
            raise _too_large()

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file.append(data[start:end])
        else:
            self._hold(end - start)
            self._value.extend(data[start:end])

    def _end_part(self) -> None:
        if not self._in_file:
            self._fields.append((self._name, self._value.decode()))
        self._in_file = False

    def _end(self) -> None:
        self._ended = True

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > FIELDS_BYTES_MAX:
            raise _too_large()


def _too_large() -> ProblemError:
    detail = f"at most {FIELDS_MAX} fields of {FIELDS_BYTES_MAX} bytes together, and one file"
    return ProblemError(413, "form_too_large", "the form has too much beside its file", detail)
