"""The parser's place in the tokens: looking ahead, stepping on, reporting, and finding its feet after an error.

Rule: every loop over tokens steps on, so parsing is linear; a report never stops the parser.
"""

from __future__ import annotations

from dataclasses import replace

from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.lexer import Source, Token, TokenKind
from segmentation.expression.limits import shortened
from segmentation.expression.syntax import Span

CONNECTIVES = frozenset(("and", "or"))
_OPENING, _CLOSING = ("(", "["), (")", "]")


class Cursor:
    """Tokens, a position among them, and the problems found so far."""

    def __init__(self, source: Source, tokens: list[Token], problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        self._tokens = tokens
        self._index = 0
        self._reported = {problem.span.offset for problem in problems if problem.span is not None}

    @property
    def here(self) -> Token:
        """The token that is next."""
        return self._tokens[self._index]

    @property
    def before(self) -> Token:
        """The token that was taken last."""
        return self._tokens[self._index - 1]

    def at_end(self) -> bool:
        """Whether every token was taken."""
        return self.here.kind is TokenKind.END

    def ahead(self, steps: int = 1) -> Token:
        """A later token, or the END; with a negative number of steps, one that was taken before."""
        return self._tokens[min(self._index + steps, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Step over the next token; the END stays."""
        token = self.here
        if token.kind is not TokenKind.END:
            self._index += 1
        return token

    @property
    def told_all(self) -> bool:
        """Whether nothing that is reported from now on is told, so that no hint need be looked for."""
        return len(self.problems) >= PROBLEMS_MAX

    def at_words(self, *words: str) -> bool:
        """Whether these words, in any case, are next."""
        return all(self.ahead(steps).keyword == word for steps, word in enumerate(words))

    def take_words(self, *words: str) -> bool:
        """Step over these words if all of them are next."""
        if not self.at_words(*words):
            return False
        self._index += len(words)
        return True

    def take_any(self, *words: str) -> bool:
        """Step over one of these words if it is next."""
        return any(self.take_words(word) for word in words)

    def take_symbol(self, *symbols: str) -> bool:
        """Step over one of these symbols if it is next."""
        if not self.here.is_symbol(*symbols):
            return False
        self._index += 1
        return True

    def at_boundary(self, steps: int = 0) -> bool:
        """Whether a condition ends here: the end, a closing bracket, AND or OR."""
        token = self.ahead(steps)
        return token.kind is TokenKind.END or token.is_symbol(")", "&&", "||", "&") or token.keyword in CONNECTIVES

    def report(self, found: Problem, first: Token, last: Token | None = None) -> None:
        """Add a problem at a token, or from one token to the last of several."""
        end = last or first
        self._add(found, self.source.span(first.offset, end.offset + end.length - first.offset))

    def expected(self, code: LanguageCode, what: str, hint: str) -> None:
        """Add the problem that something else is needed where the next token is."""
        token = self.here
        found = "the end" if token.kind is TokenKind.END else f"`{shortened(self.written(token))}`"
        self.report(problem(code, f"expected {what}, found {found}", hint), token)

    def written(self, first: Token, last: Token | None = None) -> str:
        """The source as it was written, from one token through another."""
        end = last or first
        return self.source.text[first.offset : end.offset + end.length]

    def span_from(self, first: Token) -> Span:
        """The span from a token through the last one taken."""
        return self.source.span(first.offset, self.before.offset + self.before.length - first.offset)

    def skip_to_boundary(self) -> None:
        """Step over what an error made unreadable, up to where another condition may begin."""
        depth = 0
        while self.here.kind is not TokenKind.END and (depth > 0 or not self.at_boundary()):
            depth += self.here.is_symbol(*_OPENING) - (self.here.is_symbol(*_CLOSING) and depth > 0)
            self._index += 1

    def skip_group(self) -> None:
        """Step over a bracketed group whose opening bracket was taken, with its closing bracket."""
        depth = 1
        while self.here.kind is not TokenKind.END and depth > 0:
            depth += self.here.is_symbol("(") - self.here.is_symbol(")")
            self._index += 1

    def _add(self, found: Problem, span: Span) -> None:
        """One problem a place: a second one at the same character comes from the first."""
        if not self.told_all and span.offset not in self._reported:
            self._reported.add(span.offset)
            self.problems.append(replace(found, span=span))
