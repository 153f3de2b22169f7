"""The segments of a backtest, as they are written on the command line or in a file.

Shape: an expression (text, or JSON when it begins with `{` or `[`), with an id before it if it is to have one
(`lapsed: orders >= 2`), or `@FILE`. A file is JSON (one `{"id", "where"}` or a list of them) or one `id: expression` a
line. Rule: the same parser and the same acceptance as the services, in the order given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import Rejection
from segmentation.expression.check import segment_id_problem
from segmentation.expression.compiler import CompiledSegment, compile_segment
from segmentation.expression.source import parse_where
from segmentation.model import SegmentId, SegmentState
from segmentation.registry import Definition, SegmentRegistry
from tidegate.backtest.refused import BacktestRefusedError
from tidegate.errors import FieldError

SEGMENTS_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
FIRST_VERSION: Final = 1
_WITH_ID: Final = re.compile(r"\s*([^\s:\"']+)\s*:\s+(\S.*)", re.DOTALL)
Written = tuple[str | None, object]
"""An id, if one was given, and the expression in either written form."""


def read_segments(given: Sequence[str]) -> list[CompiledSegment]:
    """Read and check what was given. Errors: BacktestRefusedError names the segment and underlines the fault."""
    registry = SegmentRegistry()
    compiled: list[CompiledSegment] = []
    for number, (segment_id, where) in enumerate(_written(given), start=1):
        if number > SEGMENTS_MAX:
            raise BacktestRefusedError(f"at most {SEGMENTS_MAX:,} segments can be backtested at once; give fewer")
        compiled.append(_accepted(segment_id or f"segment-{number}", where, registry))
    if not compiled:
        raise BacktestRefusedError("there is no segment; give one with --segment 'lapsed: last_seen more than 60d ago'")
    return compiled


def _accepted(segment_id: str, where: object, registry: SegmentRegistry) -> CompiledSegment:
    problem = segment_id_problem(segment_id)
    if problem is not None:
        raise BacktestRefusedError(f"{problem.message}; {problem.hint}")
    expression = parse_where(where, AttributeCatalogue.empty())
    source = where if isinstance(where, str) else None
    if isinstance(expression, Rejection):
        faults = [FieldError.from_json(fault.to_json()) for fault in expression.problems]
        raise BacktestRefusedError(f"the expression of {segment_id} cannot be used", faults, source)
    name = SegmentId(segment_id)
    if registry.get(name) is not None:
        raise BacktestRefusedError(f"there are two segments {segment_id}; give each an id of its own")
    refusal = registry.accept(Definition(name, FIRST_VERSION, 0, SegmentState.ACTIVE, expression))
    if refusal is not None:
        raise BacktestRefusedError(f"{refusal.message}; {refusal.hint}, and name it before those that refer to it")
    return compile_segment(name, FIRST_VERSION, SegmentState.ACTIVE, expression)


def _written(given: Iterable[str]) -> Iterator[Written]:
    for one in given:
        if one.startswith("@"):
            yield from _from_file(Path(one[1:]))
        else:
            yield _from_text(one)


def _from_text(text: str) -> Written:
    found = _WITH_ID.fullmatch(text)
    if found is None:
        return None, _where(text)
    return found[1], _where(found[2])


def _where(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BacktestRefusedError(
            f"the expression looks like JSON but is not: {error.msg} at character {error.pos + 1}"
        ) from error


def _from_file(path: Path) -> Iterator[Written]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BacktestRefusedError(f"{path} is larger than {FILE_BYTES_MAX:,} bytes, so it holds no segments")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BacktestRefusedError(f"the segments in {path} cannot be read: {error}") from error
    if text.lstrip().startswith(("{", "[")):
        yield from _from_json(_where(text), path)
        return
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield _from_text(line)


def _from_json(document: object, path: Path) -> Iterator[Written]:
    """Definitions as the API takes them and as `tidegate segments list --json` prints them."""
    for entry in document if isinstance(document, list) else [document]:
        if not isinstance(entry, Mapping) or "where" not in entry:
            raise BacktestRefusedError(
                f'{path} holds something that is no definition; write {{"id": "lapsed", "where": "orders >= 2"}} '
                "or a list of these"
            )
        segment_id = entry.get("id", entry.get("segment_id"))
        yield (None if segment_id is None else str(segment_id)), entry["where"]
