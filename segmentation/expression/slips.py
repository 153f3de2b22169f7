"""Values and stretches of time as people write them and the language does not: what was meant.

Rule: nothing here is accepted. A function says whether the slip is there, or steps over it and gives or reports the
problem, so that it stays one error.
"""

from __future__ import annotations

import re
from dataclasses import replace

from segmentation.errors import Problem
from segmentation.expression import codes, operands, words
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.cursor import Cursor
from segmentation.expression.lexer import Token, TokenKind
from segmentation.expression.limits import shortened

_AND = re.compile(r"\sand\s", re.IGNORECASE)
_FIRST_GROUP = re.compile("-?[1-9][0-9]{0,2}")
_GROUP = re.compile(r"[0-9]{3}(?:\.[0-9]+)?")
"""What stands before and between the commas of `1,000,000.50`."""
_UNITS = operands.UNIT_MS.keys() | operands.CALENDAR_UNITS
_WINDOWS = frozenset(("this", "current", "last", "previous", "next"))
_CALENDAR_WORDS = operands.CALENDAR_UNITS | {"week"}


def groups_behind(cursor: Cursor, first: Token) -> int:
    """How many groups of three digits follow a number, each behind a comma and no space: two in `1,000,000.50`."""
    groups, before = 0, first
    while "." not in before.value:
        comma, digits = cursor.ahead(2 * groups), cursor.ahead(2 * groups + 1)
        end = before.offset + before.length
        adjacent = comma.is_symbol(",") and comma.offset == end and digits.offset == end + 1
        if not adjacent or digits.kind is not TokenKind.NUMBER or _GROUP.fullmatch(digits.value) is None:
            break
        groups, before = groups + 1, digits
    return groups


def refuse_separators(cursor: Cursor, first: Token, groups: int) -> Problem:
    """Step over the groups behind a number, and give the number without its commas."""
    for _ in range(2 * groups):
        cursor.take()
    digits = cursor.written(first, cursor.before).replace(",", "")
    return problem(LanguageCode.EXPECTS_NUMBER, "numbers have no separators", f"write {shortened(digits)}")


def separators_in_set(cursor: Cursor, first: Token) -> Problem | None:
    """`[1,000]`, which would be the number 1 and the text 000.

    Only a group with a zero in front tells: `[1,200]` may well be two numbers. Cost: a run of groups is looked through
    once, from its first number, so a set takes linear time.
    """
    comma = cursor.ahead(-2)
    behind_number = (
        comma.is_symbol(",") and comma.offset + 1 == first.offset and cursor.ahead(-3).kind is TokenKind.NUMBER
    )
    within_run = behind_number and _GROUP.fullmatch(first.value) is not None
    if first.kind is not TokenKind.NUMBER or within_run or _FIRST_GROUP.fullmatch(first.value) is None:
        return None
    groups = groups_behind(cursor, first)
    if not any(cursor.ahead(2 * index + 1).value[0] == "0" for index in range(groups)):
        return None
    found = refuse_separators(cursor, first, groups)
    return replace(found, hint=f"{found.hint}; for several values, a space behind each comma")


def refuse_brackets(cursor: Cursor, operator: Token) -> Problem:
    """`plan is (Pro OR Free)`: what stands in the brackets, as a set if it is several values."""
    pieces = pieces_of_bracket(cursor)
    hint = f"write {pieces[0] if pieces else 'a value'}"
    if any(_AND.search(piece) for piece in pieces):
        hint = "to ask for several values write a condition for each and join them with AND, or `has all of [a, b]`"
    elif len(pieces) > 1:
        negated = operator.keyword == "not" or words.EQUAL_SYMBOLS.get(operator.value, False)
        hint = f"for one of several values write `{'not in' if negated else 'in'} [{shortened(', '.join(pieces))}]`"
    return problem(LanguageCode.EXPECTS_VALUE, "a value stands without brackets", hint)


def pieces_of_bracket(cursor: Cursor) -> list[str]:
    """What stands in a bracket that was taken, between the commas and ORs; the closing bracket is taken too."""
    pieces: list[str] = []
    first: Token | None = None
    depth = 1
    while depth > 0:
        token = cursor.here
        depth += token.is_symbol("(") - token.is_symbol(")")
        apart = depth == 1 and (token.keyword == "or" or token.is_symbol(",", "|", "||"))
        if (apart or depth == 0 or cursor.at_end()) and first is not None:
            pieces.append(as_element(cursor.written(first, cursor.before)))
            first = None
        elif not apart:
            first = first or token
        if cursor.at_end():
            break
        cursor.take()
    return pieces


def refuse_range(cursor: Cursor) -> bool:
    """`between [10, 20]`, `between 10 to 20`: two ends that AND does not join. Gives whether they were there."""
    first, opened = cursor.here, int(cursor.here.is_symbol("[", "("))
    low, joint, high = (cursor.ahead(opened + steps) for steps in range(3))
    apart = joint.is_symbol(",") and (opened or high.offset > joint.offset + 1)
    joined = apart or joint.keyword == "to" or (opened and joint.keyword == "and")
    if not joined or low.kind is not TokenKind.NUMBER or high.kind is not TokenKind.NUMBER:
        return False
    for _ in range(opened + 3):
        cursor.take()
    if opened:
        cursor.take_symbol("]", ")")
    hint = f"write `{shortened(low.value)} and {shortened(high.value)}`"
    found = problem(LanguageCode.EXPECTS_NUMBER, "the ends of a range stand without brackets, joined by AND", hint)
    cursor.report(found, first, cursor.before)
    return True


def as_element(written: str) -> str:
    """A value as it stands in a set: without brackets, and several words in the quotes that they need."""
    if written[0] == "(":
        written = written.strip("() ") or "a value"
    return f'"{written}"' if " " in written and written[0] not in "\"'" else written


def refuse_phrase(cursor: Cursor, first: Token) -> bool:
    """Words that stand for an operator, as in `is greater than 5`. Gives whether there were any."""
    phrase = next((one for one in words.MEANT_PHRASES if cursor.at_words(*one)), None)
    if phrase is None and first is cursor.before and cursor.ahead().kind is TokenKind.NUMBER:
        # `is above 5`; alone behind `is`, such a word is a text.
        phrase = next((one for one in words.MEANT_BEHIND_IS if cursor.at_words(*one)), None)
    if phrase is None:
        return False
    written = cursor.written(cursor.here, cursor.ahead(len(phrase) - 1))
    meant = words.MEANT_PHRASES.get(phrase) or words.MEANT_BEHIND_IS[phrase]
    # Over the words, since an OR among them ends no condition.
    cursor.take_words(*phrase)
    last, value, after = cursor.before, cursor.here, cursor.ahead()
    negated = cursor.ahead(-1 - len(phrase)).keyword == "not"
    amount = amount_at(cursor)
    if amount is not None:
        side = _take_distance(cursor)
        meant = words.MEANT_DISTANCES.get((meant.rstrip("= 9"), side), meant).replace("30 days", amount)
        last = cursor.before
    if negated:
        meant = negation_of(meant)
    if value.kind is TokenKind.NUMBER:
        meant = meant.replace("99", shortened(value.value))
    if after.keyword in operands.COUNTED:
        found = codes.reserved_event_count()
    else:
        found = problem(LanguageCode.EXPECTS_OPERATOR, f"`{written}` is not an operator", f"write `{meant}`")
    cursor.report(found, first, last)
    return True


def negation_of(meant: str) -> str:
    """An operator turned round."""
    return words.MEANT_NEGATED.get(meant, f"not {meant}")


def amount_at(cursor: Cursor) -> str | None:
    """The duration that comes next, as it is written: `7 days`, `7d`; None if there is none."""
    first, unit = cursor.here, cursor.ahead()
    if first.kind is TokenKind.NUMBER and isinstance(operands.duration_of(first.value, unit.value), int):
        return shortened(cursor.written(first, unit))
    word = first.kind is TokenKind.WORD and isinstance(operands.parse_duration(first.value), int)
    return shortened(first.value) if word else None


def refuse_distance(cursor: Cursor, operator: Token) -> bool:
    """`before 7 days ago`: a distance from now where an instant belongs. Gives whether there was one."""
    first, unit, amount = cursor.here, cursor.ahead(), amount_at(cursor)
    if amount is None and (first.kind is not TokenKind.NUMBER or unit.keyword not in _UNITS):
        return False
    side = _take_distance(cursor)
    if amount is None:
        duration = operands.duration_of(first.value, unit.value)
        if isinstance(duration, Problem):
            cursor.report(duration, first, cursor.before)
        return True
    meant = words.MEANT_DISTANCES.get((operator.keyword, side), "more than 30 days ago` or `within last 30 days")
    written = shortened(cursor.written(first, cursor.before))
    found = problem(
        LanguageCode.EXPECTS_INSTANT,
        f"`{operator.keyword}` needs a date or an instant; `{written}` is neither",
        f"write `{meant.replace('30 days', amount)}`",
    )
    cursor.report(found, operator, cursor.before)
    return True


def _take_distance(cursor: Cursor) -> str:
    """Step over a duration and the side of now behind it. Gives the side, if it is said."""
    if cursor.take().kind is TokenKind.NUMBER:
        cursor.take()
    if cursor.take_words("ago"):
        return "ago"
    return "from now" if cursor.take_words("from", "now") else ""


def at_window(word: Token, after: Token) -> bool:
    """Whether a stretch of time begins here: `last 7 days`, `past 24 hours`."""
    return word.keyword in {"last", "next"} or (word.keyword == "past" and after.value[:1].isdigit())


def amount_behind(cursor: Cursor) -> str:
    """The duration behind `last`, as far as one is there."""
    first, unit = cursor.ahead(), cursor.ahead(2)
    if first.kind is TokenKind.NUMBER and unit.keyword in operands.UNIT_MS:
        return shortened(cursor.written(first, unit))
    return shortened(first.value) if isinstance(operands.parse_duration(first.value), int) else "7 days"


def calendar_window(cursor: Cursor, first: Token, unit: Token) -> Problem | None:
    """`this month`, `last year` where a value belongs."""
    if first.keyword not in _WINDOWS or unit.keyword not in _CALENDAR_WORDS:
        return None
    return codes.reserved_calendar(shortened(cursor.written(first, unit)))


def refuse_reserved_window(cursor: Cursor) -> bool:
    """`in this month`, `in last month`, `in time zone …`. Gives whether it was one of them."""
    word, after = cursor.here, cursor.ahead()
    if word.keyword in {"time", "timezone"} and not cursor.at_boundary(1):
        cursor.report(codes.reserved_time_zone(), word)
        return True
    window = word.keyword in {"this", "current"} or after.keyword in operands.CALENDAR_UNITS
    if window and word.kind is TokenKind.WORD:
        cursor.report(codes.reserved_calendar(shortened(cursor.written(word, after))), word, after)
    return window and word.kind is TokenKind.WORD
