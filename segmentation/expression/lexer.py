"""Text into tokens: the first stage of the text form.

Rule: every character belongs to a token or to a problem, in one pass of linear time; it never raises. Keywords are not
known here: a word is a word, and its place decides what it means.

Source: `GRAMMAR.md`, "Tokens".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import Enum, auto

from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.limits import shortened
from segmentation.expression.syntax import Span
from segmentation.expression.words import CONTRACTED


class TokenKind(Enum):
    """What a token looks like."""

    WORD = auto()
    NUMBER = auto()
    INSTANT = auto()
    TEXT = auto()
    NAME = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the source. `value` is what it stands for: unescaped for TEXT and NAME, as written for the others."""

    kind: TokenKind
    value: str
    offset: int
    length: int

    @property
    def keyword(self) -> str:
        """The word in lower case, or "" for any other token: a quoted word is never a keyword."""
        return self.value.lower() if self.kind is TokenKind.WORD else ""

    def is_symbol(self, *symbols: str) -> bool:
        """Whether this is one of the symbols."""
        return self.kind is TokenKind.SYMBOL and self.value in symbols


_TOKEN = re.compile(
    r"""
    (?P<space>\s++)
  | (?P<text>"(?:[^"\\]|\\.)*+" | '(?:[^'\\]|\\.)*+')
  | (?P<name>`(?:[^`\\]|\\.)*+`)
  | (?P<open>["'`].*+)
  | (?P<curly>[\u201c-\u201e][^\u201c-\u201e]*+[\u201c\u201d] | [\u2018\u2019][^\u2018\u2019]*+[\u2018\u2019])
  | (?P<instant>[0-9]{4}-[0-9]{2}-[0-9]{2}
        (?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]++)?)?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?(?![\w.:-]))
  | (?P<slashed>[0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}(?![\w/]))
  | (?P<number>-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.-]))
  | (?P<word>(?:-(?=[0-9]))?\w[\w.-]*+)
  | (?P<symbol>==|!=|<>|>=|<=|=>|=<|=~|!~|&&|\|\||[=<>()\[\],!~&|≥≤≠])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_KINDS = {
    "word": TokenKind.WORD,
    "number": TokenKind.NUMBER,
    "instant": TokenKind.INSTANT,
    "symbol": TokenKind.SYMBOL,
}
_SIGNED = re.compile(r"[+-]?(?P<digits>\.[0-9]{1,60}|(?<=\+)[0-9]{1,60}(?:\.[0-9]{1,60})?)")
_CONTRACTED = re.compile(rf"\b(?P<verb>{'|'.join(CONTRACTED)})n(?P<quote>')t\b", re.IGNORECASE)
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"} | {one: one for one in "\\\"'`/"}


class Source:
    """A source text and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def span(self, offset: int, length: int) -> Span:
        """The place of a piece of the source."""
        line = bisect_right(self._line_starts, offset)
        return Span(offset, length, line, offset - self._line_starts[line - 1] + 1)


class _Lexer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens: list[Token] = []
        self.problems: list[Problem] = []

    def report(self, found: Problem, offset: int, length: int) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(replace(found, span=self.source.span(offset, length)))

    def add(self, kind: TokenKind, value: str, match: re.Match[str]) -> None:
        self.tokens.append(Token(kind, value, match.start(), match.end() - match.start()))

    def take(self, match: re.Match[str]) -> None:
        group, written = str(match.lastgroup), match[0]
        if group in _PLAIN_KINDS:
            self.add(_PLAIN_KINDS[group], written, match)
        elif group in {"text", "name"}:
            kind = TokenKind.TEXT if group == "text" else TokenKind.NAME
            self.add(kind, self.unescaped(written[1:-1], match.start() + 1), match)
        elif group == "curly":
            self.add(TokenKind.TEXT, written[1:-1], match)
            hint = f'write straight quotes: "{shortened(written[1:-1])}"'
            self.report(problem(LanguageCode.CURLY_QUOTES, "these are curly quotes", hint), match.start(), len(written))
        elif group == "slashed":
            # It stands for what it was meant to be, and a second problem at its place is not told.
            self.add(TokenKind.TEXT, written, match)
            hint = f'write it as year-month-day, for example 2026-05-01; for that text "{written}"'
            found = problem(LanguageCode.EXPECTS_INSTANT, "dates are not written with slashes", hint)
            self.report(found, match.start(), len(written))
        elif group == "open":
            self.take_open(match)
        elif group == "other":
            self.report(_unknown_sign(match) or _unknown_character(written), match.start(), 1)

    def take_open(self, match: re.Match[str]) -> None:
        """Take a quote that nothing closes: everything behind it is lost, so it stands for the rest."""
        quote, first_line = match[0][0], match[0].split("\n", 1)[0]
        name = quote == "`"
        self.add(TokenKind.NAME if name else TokenKind.TEXT, match[0][1:], match)
        code = LanguageCode.UNTERMINATED_NAME if name else LanguageCode.UNTERMINATED_TEXT
        what = "this attribute name" if name else "this text"
        hint = f"close it with {quote}; inside, write the quote as \\{quote}"
        contracted = _CONTRACTED.search(self.source.text, max(0, match.start() - 5), match.end())
        if contracted is not None and contracted.start("quote") == match.start():
            hint = f"write `{CONTRACTED[contracted['verb'].lower()]}`"
        elif quote == "'" and self.source.text[match.start() - 1 : match.start()].isalpha():
            hint = 'a text with an apostrophe needs double quotes, for example "O\'Brien"'
        self.report(problem(code, f"{what} has no closing {quote}", hint), match.start(), len(first_line))

    def unescaped(self, body: str, offset: int) -> str:
        if "\\" not in body:
            return body

        def character(match: re.Match[str]) -> str:
            high, low, single, plain = match.groups()
            if high is not None:
                return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
            if single is not None:
                return chr(int(single, 16))
            if plain not in _ESCAPED:
                self.report(_unknown_escape(plain), offset + match.start(), len(match[0]))
            return _ESCAPED.get(plain, plain)

        return _ESCAPE.sub(character, body)


def tokenize(source: Source) -> tuple[list[Token], list[Problem]]:
    """The tokens, with an END behind the last, and what could not be read.

    Cost: linear. An unclosed quote takes all that follows, so no character is scanned twice for one.
    """
    lexer = _Lexer(source)
    for match in _TOKEN.finditer(source.text):
        if match.lastgroup != "space":
            lexer.take(match)
    lexer.tokens.append(Token(TokenKind.END, "", len(source.text), 0))
    return lexer.tokens, lexer.problems


def _unknown_sign(match: re.Match[str]) -> Problem | None:
    """A sign that JSON numbers do not have, as in `.5` and `+5`."""
    number = _SIGNED.match(match.string, match.start())
    if number is None:
        return None
    minus = "-" if match[0] == "-" or match.string[max(0, match.start() - 1) : match.start()] == "-" else ""
    digits = shortened(number["digits"])
    hint = f"write {minus}{'0' if digits[0] == '.' else ''}{digits}"
    return problem(LanguageCode.INVALID_CHARACTER, f"`{match[0]}` does not begin a number", hint)


def _unknown_character(character: str) -> Problem:
    hint = 'text with such characters needs quotes, for example "@acme."'
    if character in "{}":
        hint = "write sets in square brackets and groups in round ones; the JSON form is sent as JSON, not as text"
    elif "\u2018" <= character <= "\u201e":
        hint = "this curly quote has no partner; write straight quotes"
    elif character in "$€£%":
        hint = "write only the number, for example 99"
    elif character == ";":
        hint = "join conditions with AND or OR"
    elif character in "*?^/\\":
        hint = (
            "a text with it needs quotes; patterns are reserved for later, use `contains`, `starts with`, `ends with`"
        )
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return problem(LanguageCode.INVALID_CHARACTER, f"`{shown}` has no meaning here", hint)


def _unknown_escape(character: str) -> Problem:
    return problem(
        LanguageCode.UNKNOWN_ESCAPE,
        f"`\\{character}` is not an escape",
        r"escapes are \" \' \` \\ \n \t \r \u0041; for a backslash itself write two",
    )
