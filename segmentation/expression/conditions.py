"""One condition of the text form: an attribute, an operator, its value, and what a missing value means.

Rule: every spelling that `GRAMMAR.md` lists, and no other; near misses are refused with the spelling that was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from segmentation.attributes import AttributeCatalogue, nearest_name
from segmentation.errors import Problem
from segmentation.expression import codes, literals, operands, slips, words
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.cursor import Cursor
from segmentation.expression.lexer import Token, TokenKind
from segmentation.expression.limits import shortened
from segmentation.expression.syntax import (
    Compare,
    Condition,
    Direction,
    Equals,
    HasAll,
    HasAny,
    InFuture,
    InPast,
    IsSet,
    IsTrue,
    MissingPolicy,
    MoreThanAgo,
    MoreThanFromNow,
    NumberLiteral,
    OnDay,
    OneOf,
    Order,
    Test,
    TextMatch,
    TextMatchKind,
    Within,
)
from segmentation.model import AttributeName

_STANDS_ALONE = words.OPERATOR_WORDS - {"is", "not", "has", "on", "exactly"}
_PLAIN_VERBS = frozenset(("contain", "start", "end", "have", "exist"))


class Operator(NamedTuple):
    """What was read behind an attribute."""

    test: Test
    negated: bool = False


def at_operator(token: Token) -> bool:
    """Whether an operator begins here."""
    return token.keyword in words.OPERATOR_WORDS or token.is_symbol(*words.ALL_SYMBOLS)


def take_condition(cursor: Cursor, first: Token, attributes: AttributeCatalogue) -> Condition | None:
    """What follows an attribute that was taken, through the end of the condition."""
    name = AttributeName(first.value)
    problems_before = len(cursor.problems)
    operator = _take_operator(cursor, name, attributes)
    if operator is None or len(cursor.problems) > problems_before:
        cursor.skip_to_boundary()
        return None
    missing = _take_policy(cursor, operator)
    return Condition(name, operator.test, operator.negated, missing, cursor.span_from(first))


def _take_policy(cursor: Cursor, operator: Operator) -> MissingPolicy:
    """What a missing value means, if it is said. Said a second time it is refused: the two may contradict."""
    token = cursor.here
    policy = _take_one_policy(cursor)
    if policy is not MissingPolicy.DEFAULT and isinstance(operator.test, IsSet):
        hint = "leave the option out"
        found = problem(LanguageCode.POLICY_ON_PRESENCE, "this test already says what a missing value means", hint)
        cursor.report(found, token, cursor.before)
    second = cursor.here
    if policy is not MissingPolicy.DEFAULT and second.keyword in literals.POLICY_WORDS:
        while cursor.take_any(*literals.POLICY_WORDS):
            cursor.take_words("missing")
        hint = "keep one of them: `excluding missing` or `including missing`"
        found = problem(LanguageCode.EXPECTS_OPTION, "what a missing value means is already said", hint)
        cursor.report(found, second, cursor.before)
    return policy


def _take_one_policy(cursor: Cursor) -> MissingPolicy:
    for word, meant in (("excluding", MissingPolicy.EXCLUDE), ("including", MissingPolicy.INCLUDE)):
        if cursor.take_words(word):
            if not cursor.take_words("missing"):
                cursor.expected(LanguageCode.EXPECTS_OPTION, f"`missing` after `{word}`", f"write `{word} missing`")
                cursor.skip_to_boundary()
            return meant
    return MissingPolicy.DEFAULT


def _take_operator(cursor: Cursor, name: AttributeName, attributes: AttributeCatalogue) -> Operator | None:
    token = cursor.here
    if cursor.at_boundary() or (token.keyword in literals.POLICY_WORDS and cursor.ahead().keyword == "missing"):
        return Operator(IsTrue())
    if token.kind is TokenKind.SYMBOL:
        return _take_symbol(cursor)
    if cursor.take_words("is"):
        return _take_is(cursor, name)
    if slips.refuse_phrase(cursor, token):
        return None
    negated = _take_negation(cursor)
    symbol = cursor.here.kind is TokenKind.SYMBOL and not cursor.at_boundary()
    test = _take_symbol(cursor) if symbol else _take_test(cursor, name, attributes)
    return None if test is None else Operator(test.test, test.negated != negated)


def _take_negation(cursor: Cursor) -> bool:
    """`not` or `does not` before an operator."""
    return cursor.take_words("does", "not") or cursor.take_words("not")


def _take_symbol(cursor: Cursor) -> Operator | None:
    token = cursor.here
    symbol = token.value
    if symbol not in words.ALL_SYMBOLS:
        # A bracket or comma stays, so that what is skipped after the error is skipped as a whole.
        cursor.expected(LanguageCode.EXPECTS_OPERATOR, "an operator", words.OPERATORS_HINT)
        return None
    cursor.take()
    if symbol in words.NEAR_SYMBOLS:
        hint = f"write {words.NEAR_SYMBOLS[symbol]}"
        cursor.report(problem(LanguageCode.UNKNOWN_SYMBOL, f"`{symbol}` is not an operator", hint), token)
        symbol = words.NEAR_SYMBOLS[symbol]
    if symbol in words.ORDER_SYMBOLS:
        ordered = literals.take_ordered(cursor, symbol)
        return None if ordered is None else Operator(Compare(words.ORDER_SYMBOLS[symbol], ordered))
    if symbol in words.EQUAL_SYMBOLS and cursor.at_words("exactly") and cursor.ahead().kind in literals.WRITTEN:
        meant = "is not exactly" if words.EQUAL_SYMBOLS[symbol] else "is exactly"
        hint = f'write `{meant} "{shortened(cursor.ahead().value)}"`'
        found = problem(LanguageCode.EXPECTS_VALUE, f"`exactly` does not go with `{symbol}`", hint)
        cursor.report(found, token, cursor.ahead())
        return None
    if symbol in words.EQUAL_SYMBOLS:
        literal = literals.take_literal(cursor, exact=False)
        return None if literal is None else Operator(Equals(literal), words.EQUAL_SYMBOLS[symbol])
    cursor.report(codes.reserved_regular_expression(), token)
    return None


def _take_is(cursor: Cursor, name: AttributeName) -> Operator | None:
    """What follows `is`: presence, `exactly` or a value."""
    negated = cursor.take_words("not")
    if slips.refuse_phrase(cursor, cursor.before):
        return None
    after_word = cursor.at_boundary(1) or cursor.ahead().keyword in literals.POLICY_WORDS
    if after_word and cursor.take_any("set"):
        return Operator(IsSet(), negated)
    if after_word and cursor.take_any("missing"):
        return Operator(IsSet(), not negated)
    exact = cursor.take_words("exactly")
    stands_alone = cursor.here.keyword in _STANDS_ALONE or cursor.here.is_symbol(*words.ALL_SYMBOLS)
    if not exact and not after_word and stands_alone:
        _refuse_is(cursor, name, negated)
        return None
    literal = literals.take_literal(cursor, exact)
    return None if literal is None else Operator(Equals(literal, exact), negated)


def _refuse_is(cursor: Cursor, name: AttributeName, negated: bool) -> None:
    """`is` before another operator, as in `is between 1 and 2`."""
    first, last = cursor.before, cursor.here
    meant = " ".join([shortened(name), *["not"] * negated, last.value, "…"])
    found = problem(
        LanguageCode.EXPECTS_VALUE,
        f"`{last.value}` is an operator of its own and needs no `is`",
        f'write `{meant}`, or "{last.value}" in quotes for that text',
    )
    cursor.report(found, first, last)
    if last.kind is TokenKind.SYMBOL:
        _take_symbol(cursor)
    else:
        _take_test(cursor, name, AttributeCatalogue.empty())


def _take_within(cursor: Cursor, direction: Direction) -> Operator | None:
    cursor.take_words("the")
    if cursor.take_words("last"):
        direction = Direction.LAST
    elif cursor.take_words("next"):
        direction = Direction.NEXT
    elif cursor.here.keyword in {"past", "previous", "coming", "following"}:
        meant = "last" if cursor.here.keyword in {"past", "previous"} else "next"
        cursor.expected(LanguageCode.EXPECTS_DURATION, "`last`, `next` or a duration", f"write `within {meant} 7 days`")
        return None
    first = cursor.here
    duration_ms = literals.take_duration(cursor)
    if duration_ms is not None and (cursor.at_words("ago") or cursor.at_words("from", "now")):
        written = cursor.written(first, cursor.before)
        meant = f"within last {written}" if cursor.at_words("ago") else f"within next {written}"
        cursor.expected(LanguageCode.EXPECTS_CONNECTIVE, "AND, OR or the end", f"write `{meant}`")
        return None
    return None if duration_ms is None else Operator(Within(direction, duration_ms))


def _take_text_match(cursor: Cursor, kind: TextMatchKind) -> Operator | None:
    operator = kind.value.replace("_", " ")
    if kind is not TextMatchKind.CONTAINS and not cursor.take_words("with"):
        cursor.expected(LanguageCode.EXPECTS_OPERATOR, f"`{operator}`", f'write `{operator} "…"`')
        return None
    exact = cursor.take_words("exactly")
    text = literals.take_fragment(cursor, operator)
    return None if text is None else Operator(TextMatch(kind, text, exact))


def _take_has(cursor: Cursor) -> Operator | None:
    for quantity in ("any", "all", "none"):
        if cursor.take_words(quantity, "of"):
            values = literals.take_set(cursor, exact=False)
            if values is None:
                return None
            return Operator(HasAll(values) if quantity == "all" else HasAny(values), quantity == "none")
    hint = "write `has any of [a, b]`, `has all of [a, b]` or `has none of [a, b]`; for one value, `contains a`"
    cursor.expected(LanguageCode.EXPECTS_OPERATOR, "`any of`, `all of` or `none of` after `has`", hint)
    return None


def _take_between(cursor: Cursor) -> Operator | None:
    first = cursor.before
    if slips.refuse_range(cursor):
        return None
    low = literals.take_ordered(cursor, "between")
    if not cursor.take_words("and"):
        cursor.expected(LanguageCode.EXPECTS_NUMBER, "`and` and the upper end", "write `between 10 and 99`")
        return None
    high = literals.take_ordered(cursor, "between")
    if low is None or high is None:
        return None
    if not isinstance(low, NumberLiteral) or not isinstance(high, NumberLiteral):
        hint = "join two comparisons with AND, for example `signed_up after 2026-01-01 AND signed_up before 2026-02-01`"
        cursor.report(problem(LanguageCode.EXPECTS_NUMBER, "`between` takes numbers", hint), first, cursor.before)
        return None
    found = operands.range_operand(low, high)
    if isinstance(found, Problem):
        cursor.report(found, first, cursor.before)
        return None
    return Operator(found)


def _take_in(cursor: Cursor) -> Operator | None:
    """What follows `in`: a side of now, or a set."""
    if cursor.at_words("the") and slips.at_window(cursor.ahead(), cursor.ahead(2)):
        cursor.take()
    elif cursor.take_words("the", "past"):
        return Operator(InPast())
    if cursor.take_words("the", "future"):
        return Operator(InFuture())
    if cursor.at_words("segment") and not cursor.at_boundary(1):
        hint = "join it as a condition of its own: `… AND in segment active_users`"
        cursor.expected(LanguageCode.EXPECTS_SET, "a set", hint)
        return None
    if slips.refuse_reserved_window(cursor):
        return None
    if cursor.here.keyword in {"past", "future", "last", "next"}:
        side = cursor.here.keyword
        hint = f"write `in the {side}`"
        if slips.at_window(cursor.here, cursor.ahead()):
            hint = f"write `within {'last' if side == 'past' else side} {slips.amount_behind(cursor)}`"
        cursor.expected(LanguageCode.EXPECTS_SET, "a set in square brackets", hint)
        return None
    exact = cursor.take_words("exactly")
    values = literals.take_set(cursor, exact)
    return None if values is None else Operator(OneOf(values, exact))


def _take_than(cursor: Cursor) -> Operator | None:
    """`more than D ago`, `more than D from now`, and the same with `less`."""
    more = cursor.before.keyword == "more"
    if not cursor.take_words("than"):
        cursor.expected(LanguageCode.EXPECTS_OPERATOR, "`than`", "write `more than 7 days ago`, or `>` for numbers")
        return None
    if cursor.here.kind is TokenKind.NUMBER and cursor.at_boundary(1):
        symbol = ">" if more else "<"
        hint = f"write `{symbol} {cursor.here.value}` for numbers; for time say `ago` or `from now`"
        cursor.report(problem(LanguageCode.EXPECTS_DURATION, "a duration needs a unit", hint), cursor.here)
        return None
    duration_ms = literals.take_duration(cursor)
    if duration_ms is None:
        return None
    if cursor.take_words("ago"):
        return Operator(MoreThanAgo(duration_ms) if more else Within(Direction.LAST, duration_ms))
    if cursor.take_words("from", "now"):
        return Operator(MoreThanFromNow(duration_ms) if more else Within(Direction.NEXT, duration_ms))
    hint = "say which side of now: `more than 7 days ago` or `more than 7 days from now`"
    cursor.expected(LanguageCode.EXPECTS_DURATION, "`ago` or `from now`", hint)
    return None


def _take_absolute(cursor: Cursor, operator: str) -> Operator | None:
    token = cursor.here
    if cursor.at_boundary() or token.kind in {TokenKind.SYMBOL, TokenKind.NAME}:
        cursor.expected(LanguageCode.EXPECTS_INSTANT, "a date or an instant", f"write `{operator} 2026-05-01`")
        return None
    if slips.refuse_distance(cursor, cursor.before):
        return None
    if (window := slips.calendar_window(cursor, token, cursor.ahead())) is not None:
        cursor.report(window, token, cursor.ahead())
        return None
    cursor.take()
    on_day = operator == "on"
    found = operands.day_operand(token.value) if on_day else operands.instant_operand(token.value, operator)
    if isinstance(found, Problem):
        cursor.report(found, token)
        return None
    if _refuse_time_zone(cursor):
        return None
    if isinstance(found, OnDay):
        return Operator(found)
    return Operator(Compare(Order.LT if operator == "before" else Order.GT, found))


def _refuse_time_zone(cursor: Cursor) -> bool:
    """A word behind an instant, as in `after 2026-05-01T12:00 CET`. Gives whether there was one."""
    token = cursor.here
    if token.kind is not TokenKind.WORD or cursor.at_boundary() or token.keyword in literals.POLICY_WORDS:
        return False
    if token.keyword == "not" or at_operator(cursor.ahead()):
        return False
    cursor.report(codes.reserved_time_zone(), token)
    return True


_AFTER_FIRST_WORD: dict[str, Callable[[Cursor], Operator | None]] = {
    "in": _take_in,
    "contains": lambda cursor: _take_text_match(cursor, TextMatchKind.CONTAINS),
    "contain": lambda cursor: _take_text_match(cursor, TextMatchKind.CONTAINS),
    "starts": lambda cursor: _take_text_match(cursor, TextMatchKind.STARTS_WITH),
    "start": lambda cursor: _take_text_match(cursor, TextMatchKind.STARTS_WITH),
    "ends": lambda cursor: _take_text_match(cursor, TextMatchKind.ENDS_WITH),
    "end": lambda cursor: _take_text_match(cursor, TextMatchKind.ENDS_WITH),
    "has": _take_has,
    "have": _take_has,
    "exists": lambda _: Operator(IsSet()),
    "exist": lambda _: Operator(IsSet()),
    "between": _take_between,
    "more": _take_than,
    "less": _take_than,
    "before": lambda cursor: _take_absolute(cursor, "before"),
    "after": lambda cursor: _take_absolute(cursor, "after"),
    "on": lambda cursor: _take_absolute(cursor, "on"),
}
"""What reads on behind the first word of an operator. The verbs without `s` are those of `does not …`."""


def _take_test(cursor: Cursor, name: AttributeName, attributes: AttributeCatalogue) -> Operator | None:
    """An operator that begins with a word other than `is`."""
    word = cursor.here.keyword
    if cursor.take_words("within"):
        return _take_within(cursor, attributes.direction_of(name))
    read_on = _AFTER_FIRST_WORD.get(word)
    if read_on is None or (word in _PLAIN_VERBS and cursor.before.keyword != "not"):
        _refuse_operator(cursor)
        return None
    cursor.take()
    return read_on(cursor)


def _refuse_operator(cursor: Cursor) -> None:
    token = cursor.here
    if cursor.told_all or slips.refuse_phrase(cursor, token):
        return
    if token.kind is TokenKind.NUMBER and cursor.ahead().keyword in operands.COUNTED:
        cursor.report(codes.reserved_event_count(), token, cursor.ahead())
        return
    if token.keyword in words.RESERVED_WORDS:
        cursor.report(words.RESERVED_WORDS[token.keyword](), token)
        return
    if (window := slips.calendar_window(cursor, token, cursor.ahead())) is not None:
        cursor.report(window, token, cursor.ahead())
        return
    negated = cursor.before.keyword == "not"
    meant = words.MEANT_WORDS.get(token.keyword) or nearest_name(token.keyword, sorted(words.OPERATOR_WORDS))
    hint = words.OPERATORS_HINT
    if token.keyword == "exactly":
        hint = f'`exactly` follows an operator: write `is {"not " if negated else ""}exactly "aB"`'
    elif meant is not None:
        hint = f"did you mean `{slips.negation_of(meant) if negated else meant}`?"
    elif (amount := slips.amount_at(cursor)) is not None:
        hint = f"write `more than {amount} ago` or `within last {amount}`"
    elif token.keyword:
        hint = f"{hint}; an attribute's name with a space in it needs backticks"
    cursor.expected(LanguageCode.EXPECTS_OPERATOR, "an operator", hint)
