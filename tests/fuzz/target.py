"""One fuzzing process: `python -m tests.fuzz.target text|json CORPUS [libFuzzer options]`."""

from __future__ import annotations

import json
import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]  # only the group `fuzz` installs it

with atheris.instrument_imports(include=["segmentation"]):
    from segmentation.attributes import AttributeCatalogue
    from segmentation.errors import Rejection
    from segmentation.expression.jsonform import parse_json, to_json
    from segmentation.expression.limits import SOURCE_BYTES_MAX
    from segmentation.expression.parser import parse_text
    from segmentation.expression.render import to_english, to_text
    from segmentation.expression.syntax import Expression

NO_ATTRIBUTES = AttributeCatalogue.empty()


def _check(found: Expression | Rejection) -> None:
    if isinstance(found, Rejection):
        json.dumps(found.to_json(), ensure_ascii=False).encode()
        if not found.problems:
            raise AssertionError("refused without a reason")
        return
    text, written = to_text(found), to_json(found)
    to_english(found)
    # A set may be too long for the text form, and for that alone.
    if len(text.encode()) <= SOURCE_BYTES_MAX:
        again = parse_text(text, NO_ATTRIBUTES)
        if again != found:
            raise AssertionError(f"{text!r} is read back as {again!r}, not as {found!r}")
    if parse_json(json.loads(json.dumps(written)), NO_ATTRIBUTES) != found:
        raise AssertionError(f"{written!r} is not read back as {found!r}")


def try_text(data: bytes) -> None:
    """Read any bytes as text."""
    _check(parse_text(data.decode("utf-8", "surrogateescape"), NO_ATTRIBUTES))


def try_json(data: bytes) -> None:
    """Read any bytes that are JSON."""
    try:
        where = json.loads(data)
    except (ValueError, RecursionError):
        return
    _check(parse_json(where, NO_ATTRIBUTES))


if __name__ == "__main__":
    target = sys.argv.pop(1)
    atheris.Setup(sys.argv, try_text if target == "text" else try_json)
    atheris.Fuzz()
