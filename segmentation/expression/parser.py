"""The text form into a canonical tree, or into every problem found in it.

Recursive descent over OR, AND, NOT and brackets; `conditions.py` reads what stands between them. Rule: linear time,
bounded depth, and nothing raised: after an error the parser goes on at the next AND, OR or bracket.

Source: `GRAMMAR.md`, "Text form".
"""

from __future__ import annotations

from dataclasses import replace

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import PROBLEMS_MAX, Problem, Rejection
from segmentation.expression import check, limits
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.conditions import at_operator, take_condition
from segmentation.expression.cursor import CONNECTIVES, Cursor
from segmentation.expression.lexer import Source, Token, TokenKind, tokenize
from segmentation.expression.literals import BOOLEANS
from segmentation.expression.syntax import AllOf, AnyOf, Condition, Expression, InSegment, Not
from segmentation.expression.words import OPERATOR_WORDS
from segmentation.model import SegmentId


def parse_text(source: str, attributes: AttributeCatalogue) -> Expression | Rejection:
    """The canonical tree of a text.

    Errors: returned as a rejection with a span each, at most `PROBLEMS_MAX`. Cost: linear in the bounded text.
    """
    size = len(source.encode("utf-8", "surrogatepass")) if len(source) <= limits.SOURCE_BYTES_MAX else len(source)
    if size > limits.SOURCE_BYTES_MAX:
        whole = Source(source).span(0, len(source))
        return Rejection((replace(_too_long(size), span=whole),))
    # Half a surrogate pair cannot be shown, stored or sent on; U+FFFD in its place is refused, in quotes too.
    text = Source(limits.SURROGATE.sub("\ufffd", source))
    tokens, problems = tokenize(text)
    problems += _halves_in_quotes(source, text, problems)
    parser = _Parser(Cursor(text, tokens, problems), attributes)
    expression = parser.parse()
    if expression is None or parser.cursor.problems:
        return Rejection(tuple(sorted(parser.cursor.problems, key=lambda one: one.span.offset if one.span else 0)))
    finished = check.finished(expression)
    if isinstance(finished, Rejection):
        whole = text.span(0, len(source))
        return Rejection(tuple(replace(found, span=whole) for found in finished.problems))
    return finished


class _Parser:
    def __init__(self, cursor: Cursor, attributes: AttributeCatalogue) -> None:
        self.cursor = cursor
        self.attributes = attributes
        self.depth = 0

    def parse(self) -> Expression | None:
        cursor = self.cursor
        if cursor.at_end():
            if not cursor.problems:
                hint = 'write a condition, for example: plan is "Pro" AND last_active within last 7 days'
                cursor.expected(LanguageCode.EMPTY_EXPRESSION, "a condition", hint)
            return None
        expression = self.any_of()
        while not cursor.at_end():
            # Only a closing bracket stops the descent before the end.
            token = cursor.take()
            cursor.report(
                problem(LanguageCode.UNMATCHED_BRACKET, f"nothing opens this `{token.value}`", "remove it"), token
            )
            if not cursor.at_end():
                cursor.take_any(*CONNECTIVES)
                self.any_of()
        return expression

    def any_of(self) -> Expression | None:
        first = self.cursor.here
        children = [self.all_of()]
        while self.take_connective("or", "||", "|"):
            children.append(self.all_of())
        return self.joined(AnyOf, children, first)

    def all_of(self) -> Expression | None:
        first = self.cursor.here
        children = [self.negation()]
        while self.take_connective("and", "&&", "&") or self.lacks_connective():
            children.append(self.negation())
        return self.joined(AllOf, children, first)

    def joined(
        self, kind: type[AllOf] | type[AnyOf], children: list[Expression | None], first: Token
    ) -> Expression | None:
        read = tuple(child for child in children if child is not None)
        if len(children) == 1:
            return children[0]
        return kind(read, self.cursor.span_from(first)) if read else None

    def take_connective(self, word: str, *symbols: str) -> bool:
        token = self.cursor.here
        if self.cursor.take_words(word):
            return True
        if not self.cursor.take_symbol(*symbols):
            return False
        hint = f"write {word.upper()}"
        self.cursor.report(problem(LanguageCode.UNKNOWN_SYMBOL, f"`{token.value}` is not an operator", hint), token)
        return True

    def lacks_connective(self) -> bool:
        """Whether another condition follows with no AND or OR before it, which is reported and read as AND.

        Behind what is stepped over, as in `plan is Pro, AND mrr > 5`, an AND may stand.
        """
        cursor = self.cursor
        if cursor.at_boundary() or cursor.here.is_symbol("||", "|"):
            return False
        hint = "join two conditions with AND or OR"
        if cursor.here.is_symbol(","):
            hint = "join two conditions with AND or OR, not with a comma"
        elif cursor.here.keyword == "but":
            hint = "write AND; `but` says the same"
        cursor.expected(LanguageCode.EXPECTS_CONNECTIVE, "AND, OR or the end", hint)
        if cursor.here.is_symbol(",", "]") or cursor.here.keyword == "but":
            cursor.take()
        elif not self.at_condition():
            cursor.skip_to_boundary()
        return self.take_connective("and", "&&", "&") or not cursor.at_boundary()

    def at_condition(self) -> bool:
        token = self.cursor.here
        opens = token.is_symbol("(", "!") or token.kind is TokenKind.NAME or token.keyword == "not"
        return opens or (
            token.kind is TokenKind.WORD and (at_operator(self.cursor.ahead()) or self.cursor.at_boundary(1))
        )

    def negation(self) -> Expression | None:
        cursor, first, negated = self.cursor, self.cursor.here, False
        while True:
            if cursor.here.is_symbol("!"):
                found = problem(LanguageCode.UNKNOWN_SYMBOL, "`!` is not an operator", "write NOT")
                cursor.report(found, cursor.here)
                cursor.take()
            elif not cursor.take_words("not"):
                break
            negated = not negated
        child = self.primary()
        return Not(child, cursor.span_from(first)) if negated and child is not None else child

    def primary(self) -> Expression | None:
        cursor = self.cursor
        if cursor.here.is_symbol("("):
            return self.group()
        if cursor.at_words("in", "segment") and not at_operator(cursor.ahead(2)):
            return self.reference()
        return self.condition()

    def group(self) -> Expression | None:
        cursor, opening = self.cursor, self.cursor.take()
        if self.depth == limits.NESTING_MAX:
            cursor.skip_group()
            cursor.report(check.too_deep(), opening, cursor.before)
            return None
        if cursor.take_symbol(")"):
            hint = "put a condition between the brackets, or remove them"
            cursor.report(problem(LanguageCode.EMPTY_GROUP, "this group is empty", hint), opening, cursor.before)
            return None
        self.depth += 1
        inside = self.any_of()
        self.depth -= 1
        if not cursor.take_symbol(")"):
            hint = "close it with ) after its last condition"
            cursor.report(problem(LanguageCode.UNCLOSED_BRACKET, "this bracket is not closed", hint), opening)
        return inside

    def reference(self) -> Expression | None:
        cursor, first = self.cursor, self.cursor.take()
        cursor.take()
        token = cursor.here
        if cursor.at_boundary() or token.kind is TokenKind.SYMBOL:
            hint = "write the segment's id, for example `in segment active_pro_users`"
            cursor.expected(LanguageCode.EXPECTS_SEGMENT, "a segment's id", hint)
            cursor.skip_to_boundary()
            return None
        cursor.take()
        found = check.segment_id_problem(token.value)
        if found is not None:
            cursor.report(found, token)
            return None
        return InSegment(SegmentId(token.value), cursor.span_from(first))

    def condition(self) -> Condition | None:
        cursor, first = self.cursor, self.cursor.here
        if not self.take_attribute():
            cursor.skip_to_boundary()
            return None
        return take_condition(cursor, first, self.attributes)

    def take_attribute(self) -> bool:
        """Step over an attribute's name, reporting what is wrong with it. False if there is none to go on from."""
        cursor, token = self.cursor, self.cursor.here
        if token.kind is TokenKind.TEXT and (at_operator(cursor.ahead()) or cursor.at_boundary(1)):
            hint = f"write {_in_backticks(token.value)}"
            cursor.report(problem(LanguageCode.QUOTED_ATTRIBUTE, "an attribute's name is not quoted", hint), token)
        elif token.kind is TokenKind.NAME:
            found = check.name_problem(token.value)
            if found is not None:
                cursor.report(found, token)
        elif cursor.at_boundary() or token.kind is not TokenKind.WORD or token.keyword in BOOLEANS:
            hint = "write an attribute and a test, for example `mrr > 99`"
            cursor.expected(LanguageCode.EXPECTS_CONDITION, "a condition", hint)
            return False
        elif token.keyword in OPERATOR_WORDS and not at_operator(cursor.ahead()):
            hint = f"say which attribute, for example `plan {token.value} …`; for several values use `in […]`"
            cursor.expected(LanguageCode.EXPECTS_ATTRIBUTE, "an attribute", hint)
            return False
        elif limits.PLAIN_NAME.fullmatch(token.value) is None:
            hint = f"write {_in_backticks(token.value)}"
            cursor.report(problem(LanguageCode.NAME_NEEDS_BACKTICKS, "this name needs backticks", hint), token)
        elif (found := check.name_problem(token.value)) is not None:
            cursor.report(found, token)
        cursor.take()
        return True


def _halves_in_quotes(source: str, text: Source, reported: list[Problem]) -> list[Problem]:
    """Halves of surrogate pairs that no token refuses because a text or a name holds them."""
    places = {found.span.offset for found in reported if found.span is not None}
    halves = [match.start() for match in limits.SURROGATE.finditer(source) if match.start() not in places]
    message, hint = "this is half of a surrogate pair, which is no character", "write the character itself"
    found = problem(LanguageCode.INVALID_CHARACTER, message, hint)
    return [replace(found, span=text.span(at, 1)) for at in halves[: PROBLEMS_MAX - len(reported)]]


def _in_backticks(name: str) -> str:
    shown = limits.shortened(name)
    return shown if limits.PLAIN_NAME.fullmatch(name) else f"`{shown}`"


def _too_long(size: int) -> Problem:
    return problem(
        LanguageCode.SOURCE_TOO_LONG,
        f"the text has {size:,} bytes; at most {limits.SOURCE_BYTES_MAX:,} are allowed",
        "send it in the JSON form, which has no such limit; or split the segment and use `in segment …`",
    )
