"""Which column becomes which attribute, and how: as its owner says, as remembered, or as suggested.

Rule: a suggestion is shown with its reason and is never mistaken for a decision. A mapping is checked whole before a
row is read, so nothing about it can fail in the middle of a file. Pure.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.limits import ATTRIBUTE_NAME_CHARACTERS_MAX
from segmentation.attributes import AttributeType, nearest_name
from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.flatten import escape_pointer
from services.ingest.imports.cells import suggest_type
from services.ingest.imports.errors_report import REPORT_COLUMNS, is_report
from services.ingest.imports.limits import COLUMNS_MAX, HEADER_CHARACTERS_MAX, SHOWN_CHARACTERS_MAX

SAMPLES_SHOWN: Final = 3
COLUMNS_NAMED: Final = 20
"""Of a file, to whoever names one that it does not have."""
_ID_NAMES: Final = ("contact_id", "id", "user_id", "customer_id", "external_id", "uuid", "email", "email_address")
"""Names of columns that usually tell contacts apart, the likeliest first."""
_PLAIN_ID_NAMES: Final = frozenset({"contact_id", "id"})
"""An id column of this name says nothing that the contact's id does not."""
_SIMILAR_CHARACTERS_MIN: Final = 4
"""Of a shorter name one letter more or less is another word: `arr` is not `mrr`."""
_WORDS: Final = re.compile(r"[^_]+")
_DIGITS: Final = re.compile(r"\d+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ColumnMapping(BaseModel):
    """What becomes of one column. `attribute` None leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: Annotated[str, Field(min_length=1, max_length=ATTRIBUTE_NAME_CHARACTERS_MAX)] | None
    type: AttributeType = AttributeType.TEXT
    separator: Annotated[str, Field(min_length=1, max_length=8, description="Between the elements of a list.")] = ";"
    unreadable: Annotated[
        Literal["reject", "text"], Field(description="A cell that is not of the type: reject its row, or write text.")
    ] = "reject"


class ImportMapping(BaseModel):
    """How the rows of a file become contact changes. Columns that are not named are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id_column: Annotated[str, Field(description="The column that holds the contact id.")]
    columns: Annotated[dict[str, ColumnMapping], Field(max_length=COLUMNS_MAX)]
    blank: Annotated[
        Literal["keep", "remove"], Field(description="A blank cell keeps the attribute as it is, or removes it.")
    ] = "keep"


class ColumnSuggestion(BaseModel):
    """One column of the file, and what might become of it."""

    name: str
    position: int
    samples: list[str]
    attribute: str | None
    attribute_reason: str
    type: AttributeType
    type_reason: str


def suggest_columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], known_attributes: Collection[str]
) -> list[ColumnSuggestion]:
    """A suggestion for each column, from its name, its cells and the attributes that there are already."""
    known = {_plain(name): name for name in known_attributes}
    own = len(names) - (len(REPORT_COLUMNS) if is_report(names) else 0)
    attributes = _told_apart(names[:own], [_suggest_attribute(name, known) for name in names[:own]], known)
    suggestions = []
    for position, name in enumerate(names):
        cells = [row[position] for row in rows if position < len(row)]
        suggested = suggest_type(cells, named_version="version" in _plain(name).split("_"))
        attribute: str | None
        if position >= own:
            attribute, reason = None, "this column was added by a report of rejected rows"
        else:
            attribute, reason = attributes[position]
        suggestions.append(
            ColumnSuggestion(
                name=name,
                position=position + 1,
                samples=[cell[:SHOWN_CHARACTERS_MAX] for cell in cells if cell.strip()][:SAMPLES_SHOWN],
                attribute=attribute,
                attribute_reason=reason,
                type=suggested.type,
                type_reason=suggested.reason,
            )
        )
    return suggestions


def suggest_id_column(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """The column that most probably holds contact ids: named like one, filled, and different in each row."""
    by_name = {_plain(name): position for position, name in reversed(list(enumerate(names)))}
    for wanted in _ID_NAMES:
        position = by_name.get(wanted)
        if position is None:
            continue
        cells = [row[position].strip() for row in rows if position < len(row)]
        if all(cells) and len(set(cells)) * 2 > len(cells):
            return names[position]
    return None


def default_mapping(
    id_column: str,
    suggestions: Iterable[ColumnSuggestion],
    chosen: Mapping[str, str | None],
    types: Mapping[str, AttributeType],
    blank: Literal["keep", "remove"],
) -> ImportMapping:
    """The mapping of an import that is not reviewed: attributes are named as the file names its columns.

    A type that nobody declared is lenient: a cell that is not of it, or says more than a value of it would, is written
    as text, and no row is rejected for it.
    """
    columns = {}
    for column in suggestions:
        attribute: str | None = column.name[:ATTRIBUTE_NAME_CHARACTERS_MAX] if column.attribute is not None else None
        if column.name == id_column and _plain(column.name) in _PLAIN_ID_NAMES:
            attribute = None
        if column.name in chosen:
            attribute = chosen[column.name]
        declared = types.get(column.name)
        columns[column.name] = ColumnMapping(
            attribute=attribute, type=declared or column.type, unreadable="text" if declared is None else "reject"
        )
    return ImportMapping(id_column=id_column, columns=columns, blank=blank)


def check_mapping(mapping: ImportMapping, names: Sequence[str]) -> tuple[Problem, ...]:
    """What is wrong with a mapping for a file with these columns, up to `PROBLEMS_MAX` of it."""
    return tuple(islice(_problems(mapping, names), PROBLEMS_MAX))


def unknown_column(name: str, names: Sequence[str], pointer: str | None = None) -> Problem:
    """A column that the file does not have."""
    shown = name[:SHOWN_CHARACTERS_MAX]
    near = nearest_name(name, names)
    columns = ", ".join(known[:SHOWN_CHARACTERS_MAX] for known in names[:COLUMNS_NAMED])
    hint = f"did you mean {near!r}?" if near is not None else f"the columns are: {columns}"
    return Problem("unknown_column", f"the file has no column {shown!r}", hint, pointer=pointer)


def _problems(mapping: ImportMapping, names: Sequence[str]) -> Iterator[Problem]:
    if mapping.id_column not in names:
        yield unknown_column(mapping.id_column, names, "/id_column")
    taken: dict[str, str] = {}
    for name, column in mapping.columns.items():
        fits = len(name) <= HEADER_CHARACTERS_MAX
        pointer = "/columns/" + escape_pointer(name) if fits else "/columns"
        if name not in names:
            yield unknown_column(name, names, pointer)
        if column.attribute is None or not fits:
            continue
        if not column.attribute.strip():
            yield Problem(
                "invalid_attribute_name", "the attribute has no name", "name it", pointer=pointer + "/attribute"
            )
        if column.attribute in taken:
            yield Problem(
                "attribute_mapped_twice",
                f"columns {taken[column.attribute]!r} and {name!r} would both become {column.attribute!r}",
                "give one of them another attribute, or leave it out with null",
                pointer=pointer + "/attribute",
            )
        taken.setdefault(column.attribute, name)


def header_signature(names: Sequence[str]) -> str:
    """What two files with the same columns in the same order have in common."""
    return hashlib.sha256("\x1f".join(name.casefold() for name in names).encode()).hexdigest()[:32]


def _suggest_attribute(name: str, known: Mapping[str, str]) -> tuple[str, str]:
    plain = _plain(name)
    if plain in known:
        return known[plain], "an attribute of this name is there already"
    near = None if len(plain) < _SIMILAR_CHARACTERS_MIN else nearest_name(plain, _numbered_alike(plain, known))
    if near is not None:
        return known[near], f"similar to the attribute {known[near]!r}, which is there already"
    return plain, "named after the column"


def _told_apart(
    names: Sequence[str], suggested: Sequence[tuple[str, str]], known: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The suggestions, each attribute once: it is that of the column with exactly its name, or else of the first."""
    owners: dict[str, int] = {}
    for position, (attribute, _) in enumerate(suggested):
        owner = owners.setdefault(attribute, position)
        if names[position] == attribute != names[owner]:
            owners[attribute] = position
    told = list(suggested)
    taken = owners.keys() | known.keys() | set(known.values())
    for position, (attribute, _) in enumerate(suggested):
        if owners[attribute] != position:
            plain = _plain(names[position])
            numbered = (f"{plain}_{number}" for number in count(2))
            free = next(name for name in chain((plain,), numbered) if name not in taken)
            told[position] = free, f"column {names[owners[attribute]]!r} is suggested {attribute!r}"
            taken.add(free)
    return told


def _numbered_alike(plain: str, known: Iterable[str]) -> list[str]:
    """The names with the same numbers: `phone_2` is no misspelt `phone_1`."""
    numbers = _DIGITS.findall(plain)
    return [name for name in known if _DIGITS.findall(name) == numbers]


def _plain(name: str) -> str:
    """A column's name as attributes are usually written: `First Name` and `firstName` are `first_name`.

    The letters of every script stay: `größe` and `grüße` are two names. So does a name that has none.
    """
    lowered = unicodedata.normalize("NFC", _CAMEL.sub("_", name).lower())
    spaced = "".join(letter if letter == "." or unicodedata.category(letter)[0] in "LMN" else "_" for letter in lowered)
    return "_".join(_WORDS.findall(spaced)).strip("_.") or name
