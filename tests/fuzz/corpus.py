"""What the fuzzer starts from: the rows of `tests/cases/language`, and the words of the language."""

from __future__ import annotations

from pathlib import Path

from segmentation.expression.jsontests import TESTS
from segmentation.expression.operands import UNIT_MS
from segmentation.expression.words import ALL_SYMBOLS, MEANT_WORDS, OPERATOR_WORDS, RESERVED_NAMES, RESERVED_WORDS
from tests.unit.expression.language_cases import rows

_MORE_WORDS = (
    "all",
    "any",
    "segment",
    "missing",
    "version",
    "last",
    "next",
    "ago",
    "from now",
    "the past",
    "case",
    "exact",
)


def write_corpus(target: str, folder: Path) -> None:
    """One file an input."""
    folder.mkdir(parents=True)
    sources = [row[target] for name in ("truth", "references", "errors") for row in rows(name) if target in row]
    if target == "text":
        sources += [row[0] for row in rows("canonical")]
    for number, source in enumerate(sources):
        (folder / f"{number:04d}").write_bytes(source.encode("utf-8", "surrogatepass"))


def write_dictionary(path: Path) -> Path:
    """The words and symbols that random bytes would hardly hit upon."""
    words = {
        *ALL_SYMBOLS,
        *OPERATOR_WORDS,
        *MEANT_WORDS,
        *RESERVED_NAMES,
        *RESERVED_WORDS,
        *UNIT_MS,
        *TESTS,
        *_MORE_WORDS,
    }
    lines = ["".join(f"\\x{byte:02x}" for byte in word.encode()) for word in sorted(words)]
    path.write_text("".join(f'"{line}"\n' for line in lines))
    return path
