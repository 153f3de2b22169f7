"""The JSON form: JSON into a canonical tree or every problem found in it. `jsonwrite.py` goes the other way.

Rule: the same tests, checks and limits as the text form, each problem with a JSON Pointer; depth is bounded before
anything is descended into, and nothing is raised whatever the JSON is.

Source: `GRAMMAR.md`, "JSON form".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from segmentation.attributes import AttributeCatalogue
from segmentation.errors import PROBLEMS_MAX, Problem, Rejection
from segmentation.expression import check, jsontests, limits
from segmentation.expression.codes import LanguageCode, problem
from segmentation.expression.jsontests import OPTIONS, TESTS, Asked, kind_of
from segmentation.expression.jsonwrite import to_json
from segmentation.expression.syntax import AllOf, AnyOf, Condition, Expression, InSegment, MissingPolicy, Not
from segmentation.model import AttributeName, SegmentId

__all__ = ["parse_json", "to_json"]

LONG_FORM = "attribute"
_POLICIES = {"exclude": MissingPolicy.EXCLUDE, "include": MissingPolicy.INCLUDE}


def parse_json(where: object, attributes: AttributeCatalogue) -> Expression | Rejection:
    """The canonical tree of what stands under `where`: a list or an object.

    Errors: returned as a rejection with a JSON Pointer each, at most `PROBLEMS_MAX`. Cost: linear, and nothing is read
    that can no longer change the answer: what follows that many problems, or more conditions than are allowed.
    """
    reader = _Reader(attributes)
    expression = reader.whole(where)
    if expression is None or reader.problems:
        return Rejection(tuple(reader.problems))
    finished = check.finished(expression)
    if isinstance(finished, Rejection):
        return Rejection(tuple(replace(found, pointer="") for found in finished.problems))
    return finished


def under(pointer: str, key: object) -> str:
    """The JSON Pointer of a member or an element."""
    written = limits.SURROGATE.sub("\ufffd", str(key)).replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{written}"


class _Reader:
    def __init__(self, attributes: AttributeCatalogue) -> None:
        self.attributes = attributes
        self.problems: list[Problem] = []
        self.conditions = 0
        """Conditions and references read so far."""

    @property
    def decided(self) -> bool:
        """Whether it is refused whatever follows, and nothing more is told."""
        return len(self.problems) >= PROBLEMS_MAX or self.conditions > limits.CONDITIONS_MAX

    def report(self, found: Problem, pointer: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(replace(found, pointer=pointer + (found.pointer or "")))

    def whole(self, where: object) -> Expression | None:
        if where in ({}, []):
            hint = 'write at least one condition, for example {"plan": "pro"}'
            self.report(problem(LanguageCode.EMPTY_EXPRESSION, "there is no condition", hint), "")
            return None
        return self.expression(where, "", 0)

    def expression(self, node: object, pointer: str, depth: int) -> Expression | None:
        """A list or an object. `depth`: how many combinators it stands in."""
        if depth > limits.NESTING_MAX + 1:
            self.report(check.too_deep(), pointer)
            return None
        if isinstance(node, list):
            return self.group(AllOf, node, pointer, depth)
        if isinstance(node, Mapping):
            return self.members(node, pointer, depth)
        hint = 'write an object from attribute to test, for example {"plan": "pro"}'
        if isinstance(node, str):
            hint = f"{hint}; a text belongs into the text form, as the whole of `where`"
        self.report(
            problem(LanguageCode.EXPECTS_CONDITION, f"expected a condition, found {kind_of(node)}", hint), pointer
        )
        return None

    def group(self, kind: type[AllOf] | type[AnyOf], nodes: object, pointer: str, depth: int) -> Expression | None:
        if not isinstance(nodes, list):
            hint = "write a list of conditions in square brackets"
            found = problem(LanguageCode.EXPECTS_SET, f"expected a list of conditions, found {kind_of(nodes)}", hint)
            self.report(found, pointer)
            return None
        if not nodes:
            hint = "put a condition into the list, or remove it"
            self.report(problem(LanguageCode.EMPTY_GROUP, "this group is empty", hint), pointer)
            return None
        children = self.read(
            self.expression(node, under(pointer, index), depth + 1) for index, node in enumerate(nodes)
        )
        return kind(children) if children else None

    def read(self, parts: Iterable[Expression | None]) -> tuple[Expression, ...]:
        """What could be read of some parts, each read as it is asked for."""
        children: list[Expression] = []
        for child in parts:
            if child is not None:
                children.append(child)
            if self.decided:
                break
        return tuple(children)

    def members(self, node: Mapping[str, object], pointer: str, depth: int) -> Expression | None:
        if LONG_FORM in node:
            return self.long_form(node, pointer)
        if not node:
            hint = 'write a condition in it, for example {"plan": "pro"}, or remove it'
            self.report(problem(LanguageCode.EMPTY_GROUP, "this object has no condition", hint), pointer)
            return None
        children = self.read(self.member(str(key), value, under(pointer, key), depth) for key, value in node.items())
        return AllOf(children) if children else None

    def member(self, key: str, value: object, pointer: str, depth: int) -> Expression | None:
        if key == "all":
            return self.group(AllOf, value, pointer, depth)
        if key == "any":
            return self.group(AnyOf, value, pointer, depth)
        if key == "not":
            child = self.expression(value, pointer, depth + _counts(value))
            return None if child is None else Not(child)
        if key == "segment":
            return self.reference(value, pointer)
        return self.tests(key, value, pointer)

    def reference(self, value: object, pointer: str) -> Expression | None:
        if not isinstance(value, str):
            hint = (
                'write {"segment": "active_pro_users"}; an attribute called segment needs {"attribute": "segment", …}'
            )
            found = problem(LanguageCode.EXPECTS_SEGMENT, f"expected a segment's id, found {kind_of(value)}", hint)
        else:
            found_or_none = check.segment_id_problem(value)
            if found_or_none is None:
                self.conditions += 1
                return InSegment(SegmentId(value))
            found = found_or_none
        self.report(found, pointer)
        return None

    def long_form(self, node: Mapping[str, object], pointer: str) -> Expression | None:
        """`{"attribute": "all", "is": 1}`: for attributes whose name is a combinator's."""
        name = node[LONG_FORM]
        if not isinstance(name, str):
            hint = 'write the attribute\'s name, for example {"attribute": "all", "is": 1}'
            found = problem(
                LanguageCode.EXPECTS_ATTRIBUTE, f"expected an attribute's name, found {kind_of(name)}", hint
            )
            self.report(found, under(pointer, LONG_FORM))
            return None
        tests = {key: value for key, value in node.items() if key != LONG_FORM}
        if not tests:
            hint = (
                'add a test, for example {"attribute": "all", "is": 1}; an attribute called `attribute` is '
                'written {"attribute": "attribute", "is": …}'
            )
            self.report(problem(LanguageCode.EXPECTS_OPERATOR, "this long form has no test", hint), pointer)
            return None
        return self.tests(name, tests, pointer)

    def tests(self, name: str, value: object, pointer: str) -> Expression | None:
        """What is asked of one attribute: a bare value, a bare list, or an object of tests that must all hold."""
        found = check.name_problem(name)
        if found is not None:
            self.report(found, pointer)
            return None
        if not isinstance(value, Mapping):
            test = "in" if isinstance(value, list) else "is"
            return self.condition(name, test, value, pointer, exact=False, missing=MissingPolicy.DEFAULT)
        exact, missing = self.options(value, pointer)
        asked = [(str(key), operand) for key, operand in value.items() if key not in OPTIONS]
        if not asked:
            hint = 'add a test, for example {"gt": 99} or {"within": "7d"}; for presence {"set": true}'
            self.report(problem(LanguageCode.EXPECTS_OPERATOR, "there is no test of this attribute", hint), pointer)
            return None
        children = self.read(self.condition(name, key, one, under(pointer, key), exact, missing) for key, one in asked)
        return AllOf(children) if children else None

    def options(self, tests: Mapping[str, object], pointer: str) -> tuple[bool, MissingPolicy]:
        case, missing = tests.get("case", "fold"), tests.get("missing", "default")
        if "case" in tests and case != "exact":
            hint = 'write "case": "exact", or leave it out to ignore case'
            found = problem(LanguageCode.EXPECTS_OPTION, f"`case` can only be exact, not {kind_of(case)}", hint)
            self.report(found, under(pointer, "case"))
        policy = _POLICIES.get(missing) if isinstance(missing, str) else None
        if "missing" in tests and policy is None:
            hint = 'write "missing": "exclude" or "missing": "include", or leave it out'
            found = problem(LanguageCode.EXPECTS_OPTION, f"`missing` cannot be {kind_of(missing)}", hint)
            self.report(found, under(pointer, "missing"))
        return case == "exact", policy or MissingPolicy.DEFAULT

    def condition(
        self, name: str, key: str, operand: object, pointer: str, exact: bool, missing: MissingPolicy
    ) -> Condition | None:
        kind = TESTS.get(key)
        if kind is None:
            self.report(jsontests.unknown_test(name, key), pointer)
            return None
        attribute = AttributeName(name)
        read = kind.read(operand, Asked(key, exact, self.attributes.direction_of(attribute)))
        if kind.presence and missing is not MissingPolicy.DEFAULT:
            hint = "leave `missing` out"
            found = problem(LanguageCode.POLICY_ON_PRESENCE, "this test already says what a missing value means", hint)
            self.report(found, pointer)
        if isinstance(read, tuple):
            for found in read:
                self.report(found, pointer)
            return None
        # `"set": false` is the only test whose operand turns it round.
        negated = kind.negated or (kind.presence and operand is False)
        self.conditions += 1
        return Condition(attribute, read, negated, missing)


def _counts(value: object) -> int:
    """What a `not` adds to the depth: nothing before a group, which counts itself, or before a plain condition."""
    return 1 if isinstance(value, Mapping) and "not" in value else 0
