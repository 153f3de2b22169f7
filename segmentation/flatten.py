"""Attributes as people send them, made flat: nested objects become dotted names, `null` becomes a removal.

Rule: what comes out is what a contact may hold, and nothing is guessed: each value that cannot be held is a problem
that points at it. Problems never repeat a value. No input makes it recurse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from segmentation.errors import PROBLEMS_MAX, Problem
from segmentation.model import AttributeName, Scalar, Value

ATTRIBUTES_MAX: Final = 1_000
"""Attributes that one write may name, after flattening."""
ATTRIBUTE_NAME_CHARACTERS_MAX: Final = 256
LIST_ELEMENTS_MAX: Final = 10_000
NESTING_MAX: Final = 16

_SCALARS: Final = frozenset({str, int, float, bool})
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_EXACT: Final = 2**53
_WIDEST: Final = 2**63 - 1
"""A whole number beyond this does not fit every reader; as a float it is what evaluation reads anyway."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """What a write sets (None removes), and what is wrong with it. Use `changes` only if there are no problems."""

    changes: dict[AttributeName, Value | None]
    problems: tuple[Problem, ...]


def flatten(attributes: object, pointer: str = "") -> Flattened:
    """Flatten one write. `pointer` is where `attributes` stands in the request.

    Cost: one pass over the values.
    """
    if type(attributes) is dict and _is_plain(attributes):
        return Flattened(attributes, ())
    flattening = _Flattening()
    if not isinstance(attributes, Mapping):
        flattening.refuse("expects_object", "attributes must be an object", 'write {"plan": "pro"}', pointer)
    else:
        flattening.take(attributes, pointer)
    return Flattened(flattening.changes, tuple(flattening.problems))


def escape_pointer(name: str) -> str:
    """One step of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _is_plain(attributes: dict[str, object]) -> bool:
    """Whether there is nothing to do: the quick answer for the usual flat write."""
    if len(attributes) > ATTRIBUTES_MAX or "" in attributes:
        return False
    for name, value in attributes.items():
        if type(value) not in _PLAIN or len(name) > ATTRIBUTE_NAME_CHARACTERS_MAX:
            return False
        if type(value) is int and not -_EXACT <= value <= _EXACT:
            return False
        if type(value) is float and not math.isfinite(value):
            return False
    return True


class _Flattening:
    """One write being flattened: a stack of objects still to be opened, so that depth is a number and not a stack."""

    def __init__(self) -> None:
        self.changes: dict[AttributeName, Value | None] = {}
        self.problems: list[Problem] = []

    def refuse(self, code: str, message: str, hint: str, pointer: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(code, message, hint, pointer=pointer))

    def take(self, attributes: Mapping[str, object], pointer: str) -> None:
        waiting: list[tuple[str, Mapping[str, object], str, int]] = [("", attributes, pointer, 1)]
        while waiting and len(self.problems) < PROBLEMS_MAX:
            prefix, members, at, depth = waiting.pop()
            for step, value in members.items():
                here = f"{at}/{escape_pointer(step)}"
                name = prefix + step
                if not self._name_fits(step, name, here):
                    continue
                if not isinstance(value, Mapping):
                    self._set(name, value, here)
                elif depth >= NESTING_MAX:
                    self.refuse("too_deep", f"nested deeper than {NESTING_MAX} levels", "send it flatter", here)
                else:
                    waiting.append((f"{name}.", value, here, depth + 1))

    def _name_fits(self, step: str, name: str, pointer: str) -> bool:
        if not step:
            self.refuse("empty_name", "an attribute has no name", "give it one", pointer)
            return False
        if len(name) > ATTRIBUTE_NAME_CHARACTERS_MAX:
            self.refuse(
                "name_too_long",
                f"an attribute name has {len(name)} characters; at most {ATTRIBUTE_NAME_CHARACTERS_MAX} are allowed",
                "shorten it",
                pointer,
            )
            return False
        return True

    def _set(self, name: str, value: object, pointer: str) -> None:
        held = self._held(value, pointer)
        if held is None and value is not None:
            return
        if name in self.changes:
            self.refuse(
                "named_twice", f"{name} is set twice, once by a dotted and once by a nested name", "keep one", pointer
            )
        elif len(self.changes) >= ATTRIBUTES_MAX:
            self.refuse("too_many_attributes", f"more than {ATTRIBUTES_MAX} attributes", "send fewer at once", pointer)
        else:
            self.changes[AttributeName(name)] = held

    def _held(self, value: object, pointer: str) -> Value | None:
        """The value as a contact may hold it; None if it is null, or was refused."""
        if isinstance(value, list):
            return self._list(value, pointer)
        return None if value is None else self._scalar(value, pointer)

    def _scalar(self, value: object, pointer: str) -> Scalar | None:
        if isinstance(value, str | bool):
            return value
        if isinstance(value, int | float):
            if _is_finite(value):
                return value if -_WIDEST <= value <= _WIDEST else float(value)
            self.refuse("not_finite", "a number must be finite and fit 64 bits", "send it as text, or null", pointer)
            return None
        self.refuse("unknown_type", "this is not a JSON value", "send text, a number, true, false or null", pointer)
        return None

    def _list(self, values: list[object], pointer: str) -> list[Scalar] | None:
        if len(values) > LIST_ELEMENTS_MAX:
            self.refuse(
                "list_too_long",
                f"{len(values)} elements; at most {LIST_ELEMENTS_MAX} are allowed",
                "send fewer",
                pointer,
            )
            return None
        held: list[Scalar] = []
        for index, value in enumerate(values):
            if type(value) not in _SCALARS:
                self.refuse(
                    "nested_in_list",
                    "a list holds only text, numbers, true and false",
                    "give each part an attribute of its own" if value is not None else "leave the null out",
                    f"{pointer}/{index}",
                )
                return None
            scalar = self._scalar(value, f"{pointer}/{index}")
            if scalar is None:
                return None
            held.append(scalar)
        return held


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
