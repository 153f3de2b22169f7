"""The values of the text form: one literal, a set, a duration, as tokens spell them.

Rule: a function takes the tokens of one value, reports what is wrong with it, and gives the value or None. It never
leaves a token of the value behind, so an error in a value does not become a second one.
"""

from __future__ import annotations

from segmentation.errors import Problem
from segmentation.expression import operands, slips, words
from segmentation.expression.codes import LanguageCode, problem, reserved_calendar
from segmentation.expression.cursor import Cursor
from segmentation.expression.lexer import Token, TokenKind
from segmentation.expression.limits import shortened
from segmentation.expression.syntax import (
    BooleanLiteral,
    InstantLiteral,
    ListLiteral,
    Literal,
    NumberLiteral,
    OrderedLiteral,
    TextLiteral,
    VersionLiteral,
)
from segmentation.values import read_instant

BOOLEANS = {"true": True, "false": False}
POLICY_WORDS = frozenset(("excluding", "including"))
_NULLS = frozenset(("null", "nil", "undefined"))
_WORDLIKE = frozenset((TokenKind.WORD, TokenKind.NUMBER))
WRITTEN = _WORDLIKE | {TokenKind.TEXT}
"""Tokens that can stand for a text."""


def take_literal(cursor: Cursor, exact: bool) -> Literal | None:
    """The value beside `is` and `=`."""
    token = cursor.here
    if cursor.at_boundary() or (token.keyword in POLICY_WORDS and cursor.ahead().keyword == "missing"):
        hint = 'write a value; a word such as AND as a value needs quotes: "and"'
        cursor.expected(LanguageCode.EXPECTS_VALUE, "a value", hint)
        return None
    if token.is_symbol("["):
        _refuse_set(cursor)
        return None
    literal = take_version(cursor) if _at_version(cursor) else _simple(cursor)
    if isinstance(literal, Problem):
        cursor.report(literal, token, cursor.before)
        return None
    if exact and literal is not None and not isinstance(literal, TextLiteral):
        cursor.report(operands.not_exact(), token, cursor.before)
        return None
    return literal


def _simple(cursor: Cursor) -> Literal | Problem | None:
    """One token's literal, or a text of several words whose quotes were forgotten."""
    token = cursor.take()
    if token.kind is TokenKind.INSTANT:
        at = read_instant(token.value)
        return InstantLiteral(at) if at is not None else operands.instant_operand(token.value, "is")
    if token.kind is TokenKind.NAME:
        return problem(
            LanguageCode.EXPECTS_VALUE,
            "backticks hold an attribute's name, and two attributes cannot be compared",
            f'for text, write quotes: "{shortened(token.value)}"',
        )
    if token.keyword in _NULLS:
        return problem(
            LanguageCode.NULL_VALUE,
            f"`{token.value}` is no value: a missing attribute is just missing",
            f'write `is not set`, or "{token.value}" in quotes for that text',
        )
    literal = plain_literal(token)
    if token.is_symbol("("):
        return slips.refuse_brackets(cursor, cursor.ahead(-2))
    if token.kind is TokenKind.NUMBER and (groups := slips.groups_behind(cursor, token)) > 0:
        return slips.refuse_separators(cursor, token, groups)
    if literal is None:
        return problem(
            LanguageCode.EXPECTS_VALUE,
            f"expected a value, found `{shortened(cursor.written(token))}`",
            'write a number, true, false, a date or a text, for example "Pro"',
        )
    window = slips.calendar_window(cursor, token, cursor.here)
    several = _whole_text(cursor, token)
    return literal if several is None else window or several


def _whole_text(cursor: Cursor, first: Token) -> Problem | None:
    """A bare word with more words behind it, which is most often one text without its quotes."""
    if first.kind not in _WORDLIKE or not _more_words(cursor):
        return None
    while _more_words(cursor):
        cursor.take()
    hint = f'write "{shortened(cursor.written(first, cursor.before))}"'
    if first.keyword == "either":
        hint = f"for one of several values write `in [US, CA]`; for that text, {hint}"
    return problem(LanguageCode.UNQUOTED_TEXT, "a text of several words needs quotes", hint)


def _more_words(cursor: Cursor) -> bool:
    """Whether the next word goes on with a text: it is no keyword, and does not begin a condition of its own."""
    token, after = cursor.here, cursor.ahead()
    if token.kind not in _WORDLIKE or cursor.at_boundary() or token.keyword in POLICY_WORDS:
        return False
    if token.keyword == "but" and _begins_condition(cursor.ahead(2)):
        return False
    return token.keyword != "not" and not _begins_condition(after)


def _begins_condition(after: Token) -> bool:
    """Whether this token makes the word before it an attribute."""
    return after.keyword in words.OPERATOR_WORDS or after.is_symbol(*words.ALL_SYMBOLS)


def plain_literal(token: Token) -> ListLiteral | Problem | None:
    """The text, number or boolean that one token stands for, or None if it stands for none of them."""
    if token.kind is TokenKind.TEXT or (token.kind is TokenKind.WORD and token.keyword not in BOOLEANS):
        return operands.text_problem(token.value) or TextLiteral(token.value)
    if token.kind is TokenKind.WORD:
        return BooleanLiteral(BOOLEANS[token.keyword])
    if token.kind is TokenKind.NUMBER:
        digits = token.value.lstrip("-")
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            return operands.text_problem(token.value) or TextLiteral(token.value)
        return operands.number_operand(token.value)
    return None


def _at_version(cursor: Cursor) -> bool:
    """`version` is a keyword only before something that could be one."""
    after = cursor.ahead()
    spelled = after.kind in {TokenKind.TEXT, TokenKind.NUMBER, TokenKind.INSTANT}
    return cursor.at_words("version") and (
        spelled or (after.kind is TokenKind.WORD and any(map(str.isdigit, after.value)))
    )


def take_version(cursor: Cursor) -> VersionLiteral | Problem:
    """The version behind the word `version`."""
    cursor.take()
    return operands.version_operand(cursor.take().value)


def take_ordered(cursor: Cursor, operator: str) -> OrderedLiteral | None:
    """The number, version or instant beside `>` and the like."""
    token = cursor.here
    if cursor.at_boundary():
        cursor.expected(LanguageCode.EXPECTS_NUMBER, f"a number after `{operator}`", "write a number, for example 99")
        return None
    literal = take_version(cursor) if _at_version(cursor) else _ordered(cursor, cursor.take(), operator)
    if isinstance(literal, Problem):
        cursor.report(literal, token, cursor.before)
        return None
    return literal


def _ordered(cursor: Cursor, token: Token, operator: str) -> OrderedLiteral | Problem:
    if token.kind is TokenKind.INSTANT:
        return operands.instant_operand(token.value, operator)
    if token.kind is TokenKind.NUMBER:
        literal = plain_literal(token)
        if cursor.here.keyword in operands.UNIT_MS and not isinstance(literal, Problem):
            unit = cursor.take().value
            cursor.take_any("ago")
            return problem(
                LanguageCode.EXPECTS_NUMBER,
                f"`{operator}` compares with a fixed number or instant, not with a duration",
                f"write `more than {token.value} {unit} ago` or `within last {token.value} {unit}`",
            )
        if (groups := slips.groups_behind(cursor, token)) > 0:
            return slips.refuse_separators(cursor, token, groups)
        if isinstance(literal, NumberLiteral | Problem):
            return literal
    if token.keyword in BOOLEANS:
        return problem(
            LanguageCode.EXPECTS_NUMBER, f"`{operator}` compares numbers; {token.keyword} is none", "use `is` instead"
        )
    if token.kind in {TokenKind.TEXT, TokenKind.WORD, TokenKind.NUMBER}:
        return operands.ordered_text_operand(token.value, operator)
    return problem(
        LanguageCode.EXPECTS_NUMBER,
        f"expected a number after `{operator}`, found `{shortened(cursor.written(token))}`",
        "write a number, for example 99; two attributes cannot be compared",
    )


def take_fragment(cursor: Cursor, operator: str) -> str | None:
    """The text of `contains`, `starts with` or `ends with`; a number or boolean there is its spelling."""
    token = cursor.here
    if token.is_symbol("[") or (cursor.ahead().keyword == "of" and cursor.ahead(2).is_symbol("[")):
        hint = f"write `{operator}` once for each and join them with OR; for lists `has any of […]` or `has all of […]`"
        cursor.report(problem(LanguageCode.EXPECTS_TEXT, f"`{operator}` takes one text, not a set", hint), token)
        cursor.skip_to_boundary()
        return None
    if cursor.at_boundary() or token.kind in {TokenKind.SYMBOL, TokenKind.NAME}:
        cursor.expected(LanguageCode.EXPECTS_TEXT, f"a text after `{operator}`", 'write a text, for example "@acme."')
        cursor.skip_to_boundary()
        return None
    cursor.take()
    found = operands.fragment_problem(token.value, operator)
    if found is None and token.kind is not TokenKind.TEXT:
        found = _whole_text(cursor, token)
    if found is not None:
        cursor.report(found, token, cursor.before)
        return None
    return token.value


def take_set(cursor: Cursor, exact: bool) -> tuple[ListLiteral, ...] | None:
    """`[a, b]`. Gives None when anything about it was reported."""
    opening = cursor.here
    if not cursor.take_symbol("["):
        _refuse_opening(cursor)
        return None
    literals: list[ListLiteral] = []
    whole = True
    while not cursor.take_symbol("]"):
        literal = _element(cursor)
        whole = whole and literal is not None
        if literal is not None:
            literals.append(literal)
        if not _separated(cursor, opening):
            return None
    found = operands.set_problem(literals, exact) if whole else None
    if found is not None:
        cursor.report(found, opening, cursor.before)
        return None
    return tuple(literals) if whole else None


def _element(cursor: Cursor) -> ListLiteral | None:
    token = cursor.here
    literal: ListLiteral | Problem | None = None
    if token.kind is TokenKind.INSTANT:
        cursor.take()
        literal = problem(
            LanguageCode.EXPECTS_VALUE,
            "a set holds texts, numbers and booleans; this is a date",
            f'write "{token.value}" to compare as text, or join `on {token.value[:10]}` conditions with OR',
        )
    elif token.kind is not TokenKind.SYMBOL and token.kind is not TokenKind.END:
        cursor.take()
        literal = slips.separators_in_set(cursor, token) or _whole_text(cursor, token) or plain_literal(token)
    if isinstance(literal, Problem):
        cursor.report(literal, token, cursor.before)
        return None
    if literal is None:
        cursor.expected(LanguageCode.EXPECTS_VALUE, "a value", "write a value between commas, for example [US, CA]")
        if not token.is_symbol(",", ")"):
            cursor.take()
    return literal


def _separated(cursor: Cursor, opening: Token) -> bool:
    """Step over the comma; after anything else, to the end of the set. False if the set cannot be finished."""
    if cursor.here.is_symbol("]"):
        return True
    if cursor.take_symbol(","):
        if cursor.here.is_symbol("]"):
            cursor.expected(LanguageCode.EXPECTS_VALUE, "a value after the comma", "leave out the last comma")
        return True
    if cursor.at_boundary():
        hint = "close it with ], and separate its values with commas"
        cursor.report(problem(LanguageCode.UNCLOSED_BRACKET, "this set is not closed", hint), opening)
        return False
    cursor.expected(LanguageCode.EXPECTS_SET, "`,` or `]`", "separate the values with commas")
    return True


def take_duration(cursor: Cursor) -> int | None:
    """`7d` or `7 days`, in milliseconds."""
    token = cursor.here
    if token.keyword in operands.CALENDAR_UNITS or token.keyword in {"this", "current", "calendar"}:
        cursor.take()
        unit = cursor.take().keyword if cursor.here.keyword in operands.CALENDAR_UNITS | operands.UNIT_MS.keys() else ""
        cursor.report(reserved_calendar(f"{token.keyword} {unit}".strip()), token, cursor.before)
        return None
    if token.kind is TokenKind.NUMBER:
        cursor.take()
        unit = cursor.take().value if _at_unit(cursor) else ""
        found = operands.duration_of(token.value, unit)
    elif token.kind is TokenKind.WORD and (token.value[0].isdigit() or token.value[0] == "-"):
        cursor.take()
        found = operands.parse_duration(token.value)
    else:
        unit = token.keyword if token.keyword in operands.UNIT_MS else cursor.ahead().keyword
        example = f"7 {unit}" if unit in operands.UNIT_MS else "7 days"
        cursor.expected(
            LanguageCode.EXPECTS_DURATION, "a duration", f"write a number and a unit, for example `{example}`"
        )
        cursor.skip_to_boundary()
        return None
    if isinstance(found, Problem):
        cursor.report(found, token, cursor.before)
        return None
    return found


def _at_unit(cursor: Cursor) -> bool:
    """A word behind a number is its unit unless the phrase can go on without one."""
    word = cursor.here.keyword
    return bool(word) and word not in POLICY_WORDS and word not in {"ago", "from"} and not cursor.at_boundary()


def _refuse_set(cursor: Cursor) -> None:
    token = cursor.here
    hint = "for one of several values write `in [US, CA]`; for lists, `has any of [a, b]`"
    cursor.report(problem(LanguageCode.EXPECTS_VALUE, "`is` takes one value, not a set", hint), token)
    cursor.skip_to_boundary()


def _refuse_opening(cursor: Cursor) -> None:
    """A set without square brackets: name what was meant, and step over it."""
    token = cursor.here
    if token.is_symbol("("):
        cursor.take()
        values = ", ".join(slips.pieces_of_bracket(cursor)) or "US, CA"
        hint = f"write [{shortened(values)}]"
        found = problem(LanguageCode.EXPECTS_SET, "sets are written in square brackets", hint)
        cursor.report(found, token, cursor.before)
        return
    pieces: list[str] = []
    last = token
    while cursor.here.kind in WRITTEN and not _begins_condition(cursor.ahead()) and not cursor.at_boundary():
        first = cursor.take()
        while _more_words(cursor):
            cursor.take()
        last = cursor.before
        pieces.append(slips.as_element(cursor.written(first, last)))
        if not cursor.take_symbol(","):
            break
    hint = f"write [{shortened(', '.join(pieces) or 'US, CA')}]"
    if not pieces:
        cursor.expected(LanguageCode.EXPECTS_SET, "a set in square brackets", hint)
    else:
        message = f"expected a set in square brackets, found `{shortened(cursor.written(token, last))}`"
        cursor.report(problem(LanguageCode.EXPECTS_SET, message, hint), token, last)
    cursor.skip_to_boundary()
