"""What generated requests must say beyond their schema: texts of the language, references that lead somewhere, a file
that has the columns which are named.

Rule: it makes a generated request consistent with itself and with what is there; it never makes it simpler than it
must, and a request that is meant to be wrong is left alone.
"""

from __future__ import annotations

import csv
import io
import sys
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import schemathesis
from hypothesis import strategies as st

from services.ingest import where_docs
from services.ingest.imports.multipart import FILE_FIELD, MULTIPART

BASE_SEGMENT = "base"
"""A segment that is there, for references."""
COLUMNS = 6
"""Of each generated file: c0 to c5."""
_WIDEST = int(Decimal(repr(sys.float_info.max)))
"""As it is written, which is a little less than what it is read as."""
_BEYOND_DOUBLES = 2**1024 - 2**970
"""From here on a number is read as infinite."""
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

_NAMES = st.sampled_from(["plan", "mrr", "`last active`", "a.b", "`Ünï`"])
_TEXTS = st.sampled_from(["Pro", '"two words"', "'it''s'".replace("''", ""), "42", "1e3", "true", "2026-05-01"])
_CONDITIONS = st.one_of(
    st.builds("{} is {}".format, _NAMES, _TEXTS),
    st.builds("{} is not {} including missing".format, _NAMES, _TEXTS),
    st.builds("{} {} {}".format, _NAMES, st.sampled_from([">", ">=", "<", "<="]), st.integers(-9, 10**9)),
    st.builds("{} in [{}, {}]".format, _NAMES, _TEXTS, _TEXTS),
    st.builds("{} within {} days".format, _NAMES, st.integers(1, 3650)),
    st.builds("{} contains x".format, _NAMES),
    st.builds("{} is set".format, _NAMES),
    st.just(f"in segment {BASE_SEGMENT}"),
)
EXPRESSIONS: st.SearchStrategy[str] = st.recursive(
    _CONDITIONS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=6,
)
_DURATIONS = st.one_of(
    st.builds("{}{}".format, st.integers(1, 3650), st.sampled_from(["s", "m", "h", "d", " days", " HOURS"])),
    st.builds("{} weeks".format, st.integers(1, 521)),
)
_VERSIONS = st.from_regex(r"\Av?[0-9]{1,6}(\.[0-9]{1,6}){0,3}(-(rc|beta\.[1-9]))?\Z")
_INSTANTS = st.one_of(
    st.dates().map(str), st.datetimes().map(lambda at: f"{at.isoformat()}Z"), st.just("2026-05-01T12:00:00+02:00")
)


def teach() -> None:
    """Tell the generator what the formats of the document mean."""
    known = {
        where_docs.TEXT_FORMAT: EXPRESSIONS,
        where_docs.DURATION_FORMAT: _DURATIONS,
        where_docs.VERSION_FORMAT: _VERSIONS,
        where_docs.INSTANT_FORMAT: _INSTANTS,
        where_docs.REFERENCE_FORMAT: st.just(BASE_SEGMENT),
    }
    for name, strategy in known.items():
        schemathesis.openapi.format(name, strategy)


def make_sense(case: Any) -> None:
    """Make a request that keeps its schema mean something."""
    match case.operation.label:
        case "POST /api/v2/contacts/{contact_id}/merge":
            if case.body["into"] == unquote(str(case.path_parameters["contact_id"])):
                case.body["into"] += "'"
        case "POST /api/v2/keys":
            if case.body.get("expires_at") is not None:
                case.body["expires_at"] = "2090" + case.body["expires_at"][4:].replace("-02-29", "-02-28")
        case "POST /api/v2/imports":
            _make_file(case)
        case "PUT /api/v2/imports/{import_id}/mapping":
            _make_mapping(case)
        case "POST /api/v2/segments" | "POST /api/v2/segments/validate" | "PUT /api/v2/segments/{segment_id}":
            if "segment_id" in case.path_parameters and "id" in case.body:
                case.body["id"] = unquote(str(case.path_parameters["segment_id"]))
            _order_ranges(case.body.get("where"))


def keeps_its_numbers(node: object) -> bool:
    """Whether each whole number beyond the widest that a document can name is beyond it for a reader of doubles too, as
    readers of JSON are: one that is hardly wider becomes the widest, and there is nothing to refuse."""
    if isinstance(node, list):
        return all(keeps_its_numbers(inner) for inner in node)
    if isinstance(node, dict):
        return all(keeps_its_numbers(inner) for inner in node.values())
    return type(node) is not int or abs(node) <= _WIDEST or abs(node) >= _BEYOND_DOUBLES


def _order_ranges(node: object) -> None:
    """A range begins before it ends."""
    if isinstance(node, list):
        for inner in node:
            _order_ranges(inner)
    elif isinstance(node, dict):
        for name, inner in node.items():
            if name == "between" and isinstance(inner, list) and all(type(end) in (int, float) for end in inner):
                inner.sort()
            else:
                _order_ranges(inner)


def _make_file(case: Any) -> None:
    """The file has the columns that are named, written as is said."""
    query = case.query = dict(case.query or {})
    if query.get("map"):
        query["map"] = [f"c{n % COLUMNS}=a{n % COLUMNS}" for n, _ in enumerate(query["map"])]
    if query.get("type"):
        query["type"] = [f"c{n % COLUMNS}={said.rpartition('=')[2]}" for n, said in enumerate(query["type"])]
    if query.get("header") == "false":
        for name in ("id_column", "map", "type", "commit"):
            query.pop(name, None)
    elif query.get("map") or query.get("type") or "id_column" in query or query.get("commit") == "true":
        query["id_column"] = "c0"
    text = io.StringIO()
    rows = csv.writer(text, delimiter=_DELIMITERS.get(query.get("delimiter", ""), ","))
    rows.writerow([f"c{n}" for n in range(COLUMNS)])
    rows.writerows([[f"u_{row}", "pro", row, "true", "", '"x", y'] for row in range(3)])
    # The same bytes in every encoding that can be named.
    case.body = {FILE_FIELD: text.getvalue()} if case.media_type == MULTIPART else text.getvalue()


def _make_mapping(case: Any) -> None:
    """The columns are those of the file, each for an attribute of its own."""
    body = case.body
    body["id_column"] = "c0"
    kept = list(body["columns"].values())[:COLUMNS]
    body["columns"] = {
        f"c{n}": {**column, "attribute": None if column.get("attribute") is None else f"a{n}"}
        for n, column in enumerate(kept)
    }
