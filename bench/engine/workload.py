"""A seeded workload: thirty attributes with skewed values, segments that share constants, contacts, and their writes.

Rule: everything follows from the seed. Values are of the type that the conditions ask for and in one spelling, so that
engines without our coercion can compete; `untyped` spells numbers and instants as text instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from segmentation.expression.syntax import (
    AllOf,
    AnyOf,
    Between,
    BooleanLiteral,
    Compare,
    Condition,
    Direction,
    Equals,
    Expression,
    HasAny,
    IsSet,
    MissingPolicy,
    MoreThanAgo,
    Not,
    NumberLiteral,
    OneOf,
    Order,
    Test,
    TextLiteral,
    TextMatch,
    TextMatchKind,
    Within,
)
from segmentation.model import AttributeName, Attributes, InstantMs, Value

DAY_MS = 86_400_000
START = InstantMs(1_790_000_000_000)
MISSING_SHARE = 0.12
DURATIONS_DAYS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 270, 365)

CATEGORIES = {
    "country": 60, "city": 400, "language": 20, "plan": 4, "source": 12,
    "device": 5, "gender": 3, "timezone": 24, "lifecycle": 6, "industry": 30,
}  # fmt: skip
"""Attribute → how many values, Zipf-distributed."""
BOOLEANS = ("email_opt_in", "sms_opt_in", "has_bought", "verified")
NUMBERS = {
    "age": (16, 90), "orders": (0, 60), "spent": (0, 5_000), "score": (0, 100),
    "visits": (0, 300), "cart_value": (0, 800), "ltv": (0, 9_000), "emails_opened": (0, 200),
}  # fmt: skip
"""Attribute → range."""
INSTANTS = {"created_at": 900, "last_seen": 20, "last_order": 70, "trial_ends_at": 30}
"""Attribute → how many days it usually lies away."""
LISTS = {"tags": 60, "interests": 40}
"""Attribute → how many elements there are."""
DOMAINS = ("gmail.com", "yahoo.com", "acme.io", "corp.net", "uni.edu", "hotmail.com", "example.org", "mail.ru")
COMPANIES = ("acme", "globex", "initech", "umbrella", "stark", "wayne", "hooli")
FORMS = ("gmbh", "inc", "ltd", "bv")
ATTRIBUTES = (*CATEGORIES, *BOOLEANS, *NUMBERS, *INSTANTS, *LISTS, "email", "company")
ASKED = (
    "country", "plan", "last_seen", "email_opt_in", "last_order", "spent", "orders", "tags", "lifecycle", "language",
    "has_bought", "city", "score", "age", "created_at", "visits", "source", "interests", "ltv", "gender",
    "trial_ends_at", "device", "email", "cart_value", "industry", "timezone", "verified", "sms_opt_in",
    "emails_opened", "company",
)  # fmt: skip
"""Attributes in the order of how often segments ask for them."""
WRITTEN = {
    "last_seen": 30, "visits": 20, "score": 8, "cart_value": 8, "emails_opened": 8, "orders": 5, "spent": 5,
    "last_order": 5, "ltv": 4, "tags": 5, "device": 2, "interests": 2, "lifecycle": 2, "plan": 1, "city": 1,
    "email_opt_in": 1, "sms_opt_in": 1, "has_bought": 1, "trial_ends_at": 1, "timezone": 1, "email": 0.3, "age": 0.3,
}  # fmt: skip
"""Attribute → how often it is written."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one contact: which it is, its attributes before and after, which changed, and when."""

    contact: int
    before: Attributes
    after: Attributes
    changed: tuple[AttributeName, ...]
    now: InstantMs


class Workload:
    """Draws segments, contacts and writes."""

    def __init__(self, seed: int, size: int, selective: bool, untyped: bool = False) -> None:
        self._random = Random(seed)
        self._selective = selective
        self._untyped = untyped
        self._tags = max(LISTS["tags"], size // 10) if selective else LISTS["tags"]
        self._weights = {name: [1 / (rank + 1) for rank in range(count)] for name, count in CATEGORIES.items()}
        self._thresholds = {
            name: sorted({int(low + (high - low) * (step / 40) ** 1.5) for step in range(1, 40)})
            for name, (low, high) in NUMBERS.items()
        }
        self._asked_weights = [1 / (rank + 3) ** 0.7 for rank in range(len(ASKED))]

    def contacts(self, count: int) -> list[dict[AttributeName, Value]]:
        """New contacts."""
        return [
            {
                AttributeName(name): self._spelled(self._value(name, START))
                for name in ATTRIBUTES
                if self._random.random() > MISSING_SHARE
            }
            for _ in range(count)
        ]

    def writes(self, contacts: Iterable[Attributes], count: int) -> list[Write]:
        """Writes to these contacts, in order, a few attributes each, about a second apart."""
        current: list[Attributes] = list(contacts)
        now = START
        drawn: list[Write] = []
        for _ in range(count):
            now = InstantMs(now + self._random.randint(1, 2_000))
            contact = self._random.randrange(len(current))
            before = current[contact]
            after = dict(before)
            for name in self._drawn_names():
                if self._random.random() < 0.01:
                    after.pop(name, None)
                else:
                    after[name] = self._spelled(self._next_value(name, before.get(name), now))
            changed = tuple(name for name in WRITTEN_NAMES if before.get(name) != after.get(name))
            current[contact] = after
            drawn.append(Write(contact, before, after, changed, now))
        return drawn

    def segment(self) -> Expression:
        """Three to five conditions, some negated, some in an inner OR."""
        names: list[str] = []
        wanted = self._random.randint(3, 5)
        while len(names) < wanted:
            name = self._random.choices(ASKED, self._asked_weights)[0]
            if name not in names:
                names.append(name)
        parts = [self._part(name) for name in names]
        if self._selective:
            anchor = "tags" if self._random.random() < 0.8 else "city"
            parts[0] = Condition(AttributeName(anchor), self._anchor(anchor))
        return self._combined(parts)

    def _combined(self, parts: list[Expression]) -> Expression:
        shape = self._random.random()
        if shape < 0.7 or len(parts) < 4:
            return AllOf(tuple(parts)) if shape < 0.85 else AllOf((parts[0], AnyOf(tuple(parts[1:]))))
        if shape < 0.9 or self._selective:
            return AllOf((*parts[:-2], AnyOf(tuple(parts[-2:]))))
        if shape < 0.97:
            return AnyOf((AllOf(tuple(parts[:2])), AllOf(tuple(parts[2:]))))
        return AllOf((parts[0], Not(AllOf(tuple(parts[1:])))))

    def _part(self, name: str) -> Expression:
        negated = self._random.random() < 0.12
        return Condition(AttributeName(name), self._test(name), negated, MissingPolicy.DEFAULT)

    def _anchor(self, name: str) -> Test:
        if name == "city":
            return Equals(TextLiteral(self._category("city")))
        return HasAny((TextLiteral(self._element("tags")),))

    def _test(self, name: str) -> Test:
        chance = self._random.random()
        if name in CATEGORIES:
            if chance < 0.62:
                return Equals(TextLiteral(self._category(name)))
            if chance < 0.9:
                drawn = {self._category(name) for _ in range(self._random.randint(2, 5))}
                return OneOf(tuple(TextLiteral(value) for value in sorted(drawn)))
            return IsSet()
        if name in BOOLEANS:
            return Equals(BooleanLiteral(chance < 0.7))
        if name in NUMBERS:
            return self._number_test(name, chance)
        if name in INSTANTS:
            duration = self._random.choice(DURATIONS_DAYS) * DAY_MS
            if name == "trial_ends_at":
                return Within(Direction.NEXT, duration)
            return Within(Direction.LAST, duration) if chance < 0.6 else MoreThanAgo(duration)
        if name in LISTS:
            return HasAny((TextLiteral(self._element(name)),))
        if chance < 0.7:
            return TextMatch(
                TextMatchKind.CONTAINS, self._random.choice(DOMAINS if name == "email" else (*COMPANIES, *FORMS))
            )
        return IsSet()

    def _number_test(self, name: str, chance: float) -> Test:
        low, high = sorted(self._random.sample(self._thresholds[name], 2))
        if chance < 0.55:
            return Compare(Order.GTE, NumberLiteral(float(low)))
        if chance < 0.85:
            return Compare(Order.LT, NumberLiteral(float(high)))
        return Between(NumberLiteral(float(low)), NumberLiteral(float(high))) if chance < 0.95 else IsSet()

    def _value(self, name: str, now: int) -> Value:
        random = self._random
        if name in CATEGORIES:
            return self._category(name)
        if name in BOOLEANS:
            return random.random() < 0.5
        if name in NUMBERS:
            low, high = NUMBERS[name]
            return int(low + (high - low) * random.random() ** 1.5)
        if name in INSTANTS:
            away = int(random.expovariate(1 / INSTANTS[name]) * DAY_MS)
            return now + away - 10 * DAY_MS if name == "trial_ends_at" else now - away
        if name in LISTS:
            return sorted({self._element(name) for _ in range(random.randint(0, 8))})
        if name == "email":
            return f"contact{random.randrange(10**7)}@{random.choice(DOMAINS)}"
        return f"{random.choice(COMPANIES)} {random.randrange(1_000)} {random.choice(FORMS)}"

    def _next_value(self, name: str, old: Value | None, now: int) -> Value:
        if name in {"last_seen", "last_order"}:
            return now
        if name in BOOLEANS and isinstance(old, bool):
            return not old
        if name in LISTS and isinstance(old, list):
            return sorted({*map(str, old)} ^ {self._element(name)})
        if name in {"visits", "orders", "emails_opened"} and isinstance(old, int):
            return old + self._random.choice((1, 1, 1, 2, 3))
        return self._value(name, now)

    def _drawn_names(self) -> list[AttributeName]:
        count = self._random.choices((1, 2, 3), (5, 3, 2))[0]
        return [AttributeName(name) for name in self._random.choices(tuple(WRITTEN), tuple(WRITTEN.values()), k=count)]

    def _category(self, name: str) -> str:
        return f"{name}{self._random.choices(range(CATEGORIES[name]), self._weights[name])[0]}"

    def _element(self, name: str) -> str:
        count = self._tags if name == "tags" else LISTS[name]
        return f"{name}{int(count * self._random.random() ** 2)}"

    def _spelled(self, value: Value) -> Value:
        if not self._untyped or isinstance(value, bool) or not isinstance(value, int):
            return value
        if value < 10**11:
            return str(value)
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")


WRITTEN_NAMES = tuple(AttributeName(name) for name in WRITTEN)
