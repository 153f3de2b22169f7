"""What a sender says about a file beside sending it: the query of an upload, read and checked whole.

Rule: every fault is named at once, and an unknown parameter is one, because a misspelt choice would silently change
what is written. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from schemas.limits import ATTRIBUTE_NAME_CHARACTERS_MAX
from segmentation.attributes import AttributeType, nearest_name
from segmentation.errors import PROBLEMS_MAX, Problem, Rejection
from services.ingest.imports.dialect import Delimiter, DialectChoice, Encoding
from services.ingest.imports.limits import FILE_NAME_CHARACTERS_MAX

_TRUTH: Final = {"true": True, "false": False}
_DELIMITERS: Final[dict[str, Delimiter]] = {
    "comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", ",": ",", ";": ";", "\t": "\t", "|": "|",
}  # fmt: skip
_ENCODING_NAMES: Final = {"utf8": "utf-8", "latin1": "latin-1", "iso-8859-1": "latin-1", "windows-1252": "cp1252"}
PARAMETERS: Final[dict[str, str]] = {
    "filename": "The file's name, for people.",
    "id_column": "The column that holds the contact id.",
    "map": "`Column=attribute`, repeated; `Column=` leaves the column out. Other columns keep their names.",
    "type": "`Column=type`, repeated: text, number, boolean, instant, version or list. A cell that is not of it is "
    "rejected; without a declared type it is written as text.",
    "blank": "What a blank cell does to the attribute: `keep` (the default) or `remove`.",
    "delimiter": "`comma`, `semicolon`, `tab` or `pipe`; detected if not given.",
    "encoding": "The encoding; detected if not given. A byte order mark is always believed.",
    "header": "`true` if the first row names the columns; detected if not given.",
    "commit": "`true` writes the rows at once, without a review.",
    "again": "`true` with `commit` writes a file that was written in the same way within the last day once more.",
}


@dataclass(slots=True)
class UploadQuery:
    """What was said. None and empty are left to detection and to the later steps."""

    name: str = "upload.csv"
    id_column: str | None = None
    attributes: dict[str, str | None] = field(default_factory=dict)
    types: dict[str, AttributeType] = field(default_factory=dict)
    blank: Literal["keep", "remove"] | None = None
    dialect: DialectChoice = field(default_factory=DialectChoice)
    commit: bool = False
    again: bool = False

    @property
    def maps(self) -> bool:
        """Whether anything was said about columns."""
        return bool(self.id_column is not None or self.attributes or self.types or self.commit)


def read_upload_query(items: Iterable[tuple[str, str]]) -> UploadQuery | Rejection:
    """The query's parameters, in order."""
    query = UploadQuery()
    problems: list[Problem] = []
    for name, value in items:
        problem = _take(query, name, value)
        if problem is not None:
            problems.append(problem)
    if problems:
        return Rejection(tuple(problems[:PROBLEMS_MAX]))
    named = {*query.attributes, *query.types, *([query.id_column] if query.id_column else [])}
    query.dialect = query.dialect.model_copy(update={"columns": frozenset(named)})
    return query


def _take(query: UploadQuery, name: str, value: str) -> Problem | None:
    """Take one parameter; what is wrong with it."""
    if name == "filename":
        query.name = value[:FILE_NAME_CHARACTERS_MAX] or query.name
    elif name == "id_column":
        query.id_column = value.strip()
    elif name == "map":
        return _take_attribute(query, value)
    elif name == "type":
        return _take_type(query, value)
    elif name == "blank":
        if value not in ("keep", "remove"):
            return _invalid(name, value, "keep or remove")
        query.blank = cast('Literal["keep", "remove"]', value)
    elif name in ("commit", "again", "header"):
        return _take_truth(query, name, value)
    elif name == "delimiter":
        if value not in _DELIMITERS:
            return _invalid(name, value, "comma, semicolon, tab or pipe")
        query.dialect = query.dialect.model_copy(update={"delimiter": _DELIMITERS[value]})
    elif name == "encoding":
        encoding = _ENCODING_NAMES.get(value.lower(), value.lower())
        if encoding not in get_args(Encoding):
            return _invalid(name, value, ", ".join(get_args(Encoding)))
        query.dialect = query.dialect.model_copy(update={"encoding": encoding})
    else:
        near = nearest_name(name, PARAMETERS)
        hint = f"did you mean {near}?" if near is not None else "the parameters are: " + ", ".join(PARAMETERS)
        return Problem("unknown_parameter", f"there is no parameter {name[:100]!r}", hint)
    return None


def _take_truth(query: UploadQuery, name: str, value: str) -> Problem | None:
    if value not in _TRUTH:
        return _invalid(name, value, "true or false")
    if name == "header":
        query.dialect = query.dialect.model_copy(update={"header": _TRUTH[value]})
    elif name == "commit":
        query.commit = _TRUTH[value]
    else:
        query.again = _TRUTH[value]
    return None


def _take_attribute(query: UploadQuery, value: str) -> Problem | None:
    """`Column=attribute`; the last `=` divides, because a column's name may hold one."""
    column, divider, attribute = value.rpartition("=")
    if not divider or not column.strip() or len(attribute.strip()) > ATTRIBUTE_NAME_CHARACTERS_MAX:
        return _invalid("map", value, f"Column=attribute, the attribute at most {ATTRIBUTE_NAME_CHARACTERS_MAX} long")
    query.attributes[column.strip()] = attribute.strip() or None
    return None


def _take_type(query: UploadQuery, value: str) -> Problem | None:
    column, divider, written = value.rpartition("=")
    names = [known.value for known in AttributeType]
    if not divider or not column.strip() or written.strip() not in names:
        return _invalid("type", value, f"Column=type, the type one of {', '.join(names)}")
    query.types[column.strip()] = AttributeType(written.strip())
    return None


def _invalid(name: str, value: str, expected: str) -> Problem:
    return Problem("invalid_parameter", f"{name} is {value[:100]!r}", f"expected {expected}")
