"""What a write makes of a contact's attributes, and which of them it really changes.

Rule: names keep their order, so that what a write does not touch stands where it stood; a value is changed if its type
or content differs: `1` and `true` do, also inside lists.
"""

from __future__ import annotations

from segmentation.model import AttributeChanges, AttributeName, Value


def merge(
    before: dict[AttributeName, Value], changes: AttributeChanges
) -> tuple[dict[AttributeName, Value], list[AttributeName]]:
    """The attributes after a write, and the names whose value is really another one; without any, what was given."""
    if None in changes.values():
        return _merge_with_removals(before, changes)
    changed = [
        name
        for name, value in changes.items()
        if (old := before.get(name)) is None
        or old.__class__ is not value.__class__
        or old != value
        or (old.__class__ is list and not _same_types(old, value))
    ]
    return ({**before, **changes} if changed else before), changed  # type: ignore[dict-item]  # none is None; a cast costs a call a write


def _merge_with_removals(
    before: dict[AttributeName, Value], changes: AttributeChanges
) -> tuple[dict[AttributeName, Value], list[AttributeName]]:
    """The same where something is removed. Removals come before sets."""
    after = dict(before)
    removed = _remove(after, changes)
    after.update((name, value) for name, value in changes.items() if value is not None)
    set_names = [name for name, value in changes.items() if value is not None]
    changed = [name for name in set_names if name not in before or not is_same_value(before[name], after[name])]
    changed += [name for name in removed if name not in after]
    return after, changed


def _remove(attributes: dict[AttributeName, Value], changes: AttributeChanges) -> list[AttributeName]:
    """Remove what is set to None, and everything under it: an object is stored as its dotted names."""
    removals = [name for name, value in changes.items() if value is None]
    under = tuple(f"{name}." for name in removals)
    gone = [name for name in attributes if name.startswith(under) or name in removals]
    for name in gone:
        del attributes[name]
    return gone


def is_same_value(left: Value, right: Value) -> bool:
    """Equal in type and content."""
    if left.__class__ is not right.__class__ or left != right:
        return False
    return left.__class__ is not list or _same_types(left, right)


def _same_types(left: object, right: object) -> bool:
    """Whether two equal lists hold values of the same types."""
    return not (isinstance(left, list) and isinstance(right, list)) or list(map(type, left)) == list(map(type, right))
