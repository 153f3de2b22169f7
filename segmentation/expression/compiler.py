"""A segment ready to be evaluated: what it reads, its normal form, one function for its truth, and its next flip.

The function is generated source over the normal form. Rule: the source consists of this module's own text alone;
attribute names, constants and readers enter as arguments of a factory, so nothing that a person wrote is ever run.
Segments of one shape share their code.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from segmentation import deadlines
from segmentation.expression import atoms
from segmentation.expression.atoms import AtLeast, Below, Equal, Member, Present, Reading, Substring
from segmentation.expression.normal import All, Literal, Normal, Some, literals, normalize
from segmentation.expression.readings import (
    EPOCH_MS_MAX,
    EPOCH_MS_MIN,
    EXACT_INTEGERS_MAX,
    FOLDED,
    FOLDED_ELEMENTS,
    instant_of,
)
from segmentation.expression.syntax import Expression, TextMatchKind
from segmentation.model import AttributeName, Attributes, InstantMs, SegmentId, SegmentState
from segmentation.values import read_number

SHAPES_MAX = 4_096
"""Shapes of expressions whose code is kept for the next segment of that shape."""

ELEMENT_READERS = {Reading.FOLDED: "fold_element", Reading.NUMBER: "read_number"}
"""What the source calls the reader of an element, for the readings that a set can ask for thousands of times."""

Truth = Callable[[Attributes, InstantMs, Container[SegmentId]], bool]
Candidate = tuple[SegmentId, Truth]
"""A segment to try: the id to look up, and the truth that decides."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSegment:
    """One version of a segment. `holds(attributes, now, members)` is its truth; `members` answers its references.

    Equality is identity: a function has no other.
    """

    segment_id: SegmentId
    version: int
    state: SegmentState
    expression: Expression
    normal: Normal
    reads: frozenset[AttributeName]
    references: frozenset[SegmentId]
    ages: tuple[deadlines.AgeCuts, ...]
    holds: Truth
    candidate: Candidate = field(init=False)
    """One object for all who try it: what is tried is to be near."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidate", (self.segment_id, self.holds))

    @property
    def time_dependent(self) -> bool:
        """Whether time alone can flip one of its atoms."""
        return bool(self.ages)

    def next_flip(self, attributes: Attributes, after: InstantMs) -> InstantMs | None:
        """The least instant strictly after `after` at which any of its time atoms flips; None if none will."""
        return deadlines.next_flip(self.ages, attributes, after)


def compile_segment(
    segment_id: SegmentId, version: int, state: SegmentState, expression: Expression
) -> CompiledSegment:
    """Make a checked expression ready to be evaluated.

    Cost: well under a millisecond for a new shape, some microseconds a condition for a known one.
    """
    normal = normalize(expression)
    reads: set[AttributeName] = set()
    references: set[SegmentId] = set()
    ages: dict[AttributeName, set[int]] = {}
    for literal in literals(normal):
        atom = literal.atom
        if isinstance(atom, Member):
            references.add(atom.segment_id)
            continue
        reads.add(atom.attribute)
        if isinstance(atom, AtLeast | Below) and atom.scale is Reading.AGE:
            ages.setdefault(atom.attribute, set()).add(atom.cut)  # type: ignore[arg-type]  # ages are whole numbers
    return CompiledSegment(
        segment_id,
        version,
        state,
        expression,
        normal,
        frozenset(reads),
        frozenset(references),
        tuple((attribute, tuple(sorted(cuts))) for attribute, cuts in sorted(ages.items())),
        truth_of(normal),
    )


def truth_of(normal: Normal) -> Truth:
    """The generated function that says whether a normal form holds."""
    writer = _Writer()
    body = writer.write(normal)
    names = tuple(writer.constants)
    truth: Truth = _factory(body, names)(*writer.constants.values())
    return truth


@lru_cache(maxsize=SHAPES_MAX)
def _factory(body: str, names: tuple[str, ...]) -> Callable[..., Any]:
    """The function that takes the constants of a shape and gives the truth of a segment."""
    source = f"lambda {', '.join(names)}: lambda attributes, now, members: {body}"
    namespace = {
        "STR": str, "INT": int, "FLOAT": float, "BOOL": bool, "LIST": list, "FOLDED": FOLDED,
        "fold_element": FOLDED_ELEMENTS.__getitem__, "read_number": read_number, "holds": atoms.holds,
        "instant_of": instant_of, "MS_MIN": EPOCH_MS_MIN, "MS_MAX": EPOCH_MS_MAX,
    }  # fmt: skip
    factory: Callable[..., Any] = eval(source, namespace)  # noqa: S307  # the source is this module's own text
    return factory


class Elements(NamedTuple):
    """The value has each of several elements, or, if not positive, lacks one of them. Only a list can have them all."""

    attribute: AttributeName
    reading: Reading
    payloads: frozenset[object]
    positive: bool


def _gathered(normal: All | Some) -> list[Normal | Elements]:
    """The parts, with one for all literals that ask one attribute for one element each.

    An AND asks for them as they are, an OR for their complement. So a set of thousands is one constant and one look at
    the list, and not as many tests as it has values.
    """
    asking: dict[tuple[AttributeName, Reading], list[tuple[Literal, Equal]]] = {}
    gathered: list[Normal | Elements] = []
    for part in normal.parts:
        if isinstance(part, Literal) and part.positive is isinstance(normal, All):
            atom = part.atom
            if isinstance(atom, Equal) and len(atom.keys) == 1:
                reading = next(iter(atom.keys))[0]
                if reading in ELEMENT_READERS:
                    asking.setdefault((atom.attribute, reading), []).append((part, atom))
                    continue
        gathered.append(part)
    for (attribute, reading), several in asking.items():
        if len(several) == 1:
            gathered.append(several[0][0])
        else:
            payloads = frozenset(payload for _, atom in several for payload in atom.payloads)
            gathered.append(Elements(attribute, reading, payloads, isinstance(normal, All)))
    return gathered


class _Writer:
    """Writes the source of one expression, and collects its constants, named c0, c1 and so on."""

    def __init__(self) -> None:
        self.constants: dict[str, object] = {}

    def write(self, normal: Normal) -> str:
        """The source of a normal form: an expression that is true or false."""
        if isinstance(normal, Literal):
            return self._literal(normal)
        if not normal.parts:
            return "True" if isinstance(normal, All) else "False"
        parts = [
            self._elements(part) if isinstance(part, Elements) else self.write(part)
            for part in sorted(_gathered(normal), key=_rank)
        ]
        return f"({' and '.join(parts) if isinstance(normal, All) else ' or '.join(parts)})"

    def _elements(self, asked: Elements) -> str:
        value, wanted = f"attributes.get({self._constant(asked.attribute)})", self._constant(asked.payloads)
        held = f"{wanted}.issubset(map({ELEMENT_READERS[asked.reading]}, v))"
        source = f"((v := {value}).__class__ is LIST and {held})"
        return source if asked.positive else f"(not {source})"

    def _literal(self, literal: Literal) -> str:
        atom = literal.atom
        if isinstance(atom, Member):
            return f"({self._constant(atom.segment_id)} {'in' if literal.positive else 'not in'} members)"
        value = f"attributes.get({self._constant(atom.attribute)})"
        if isinstance(atom, Present):
            return f"({value} {'is not' if literal.positive else 'is'} None)"
        slow = f"(v is not None and holds({self._constant(atom)}, v, now))"
        source = self._quick(atom, value, slow) or f"((v := {value}) is not None and {slow})"
        return source if literal.positive else f"(not {source})"

    def _quick(self, atom: atoms.AttributeAtom, value: str, slow: str) -> str | None:
        """The test of the value's usual type in place, `slow` for all others; None if it has no usual type."""
        match atom:
            case Equal():
                return self._quick_equal(atom, value, slow)
            case Substring(_, kind, text, exact):
                read = "v" if exact else "FOLDED[v]"
                return f"({self._substring(kind, read, text)} if (v := {value}).__class__ is STR else {slow})"
            case AtLeast(_, scale, cut):
                return self._quick_cut(scale, cut, value, slow, (">=", "<="))
            case Below(_, scale, cut):
                return self._quick_cut(scale, cut, value, slow, ("<", ">"))
        return None

    def _quick_equal(self, atom: Equal, value: str, slow: str) -> str | None:
        readings = {reading for reading, _ in atom.keys}
        if len(readings) > 1:
            return None
        payloads = atom.payloads
        single = self._constant(next(iter(payloads)) if len(payloads) == 1 else payloads)
        relation = "==" if len(payloads) == 1 else "in"
        match next(iter(readings)):
            case Reading.FOLDED:
                wanted = self._constant(payloads)
                listed = f"not {wanted}.isdisjoint(map(fold_element, v)) if v.__class__ is LIST else {slow}"
                return f"(FOLDED[v] {relation} {single} if (v := {value}).__class__ is STR else {listed})"
            case Reading.EXACT:
                return f"(v {relation} {single} if (v := {value}).__class__ is STR else {slow})"
            case Reading.BOOLEAN:
                return f"(v {relation} {single} if (v := {value}).__class__ is BOOL else {slow})"
            case Reading.NUMBER if all(abs(float(payload)) < EXACT_INTEGERS_MAX for payload in payloads):  # type: ignore[arg-type]  # numbers
                return f"(v {relation} {single} if (v := {value}).__class__ is INT or v.__class__ is FLOAT else {slow})"
        return None

    def _substring(self, kind: TextMatchKind, read: str, text: str) -> str:
        constant = self._constant(text)
        if kind is TextMatchKind.CONTAINS:
            return f"{constant} in {read}"
        return f"{read}.{'startswith' if kind is TextMatchKind.STARTS_WITH else 'endswith'}({constant})"

    def _quick_cut(
        self, scale: Reading, cut: atoms.Cut, value: str, slow: str, operators: tuple[str, str]
    ) -> str | None:
        """`operators` compare a value with a cut, and an instant with `now` minus a cut."""
        constant = self._constant(cut)
        if scale is Reading.NUMBER and abs(cut) < EXACT_INTEGERS_MAX:  # type: ignore[arg-type]  # a number
            compared = f"v {operators[0]} {constant}"
            return f"({compared} if (v := {value}).__class__ is INT or v.__class__ is FLOAT else {slow})"
        if scale is Reading.INSTANT or scale is Reading.AGE:
            instant = f"(v if (v := {value}).__class__ is INT and MS_MIN <= v <= MS_MAX else instant_of(v))"
            compared = f"{operators[0]} {constant}" if scale is Reading.INSTANT else f"{operators[1]} now - {constant}"
            return f"((t := {instant}) is not None and t {compared})"
        return None

    def _constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name


def _rank(part: Normal | Elements) -> str:
    """Where a part stands among its siblings: the likely decisive first, and equal shapes in equal order."""
    if isinstance(part, Elements):
        return f"{0 if part.positive else 4} {part.reading} all"
    if not isinstance(part, Literal):
        return f"9 {len(part.parts)}"
    atom, positive = part
    match atom:
        case Equal(_, keys):
            return f"{0 if positive else 4} {min(reading for reading, _ in keys)} {len(keys) > 1}"
        case Member():
            return f"1 {positive}"
        case AtLeast(_, scale) | Below(_, scale):
            return f"{2 if positive else 5} {scale} {type(atom).__name__}"
        case Substring(_, kind, _, exact):
            return f"6 {kind} {exact} {positive}"
        case _:
            return f"3 {type(atom).__name__} {positive}"
