"""What is declared about attributes, folded from its topic.

Rule: the newest declaration of a name stands, and a tombstone takes it back. Knows neither Kafka nor HTTP.
"""

from __future__ import annotations

from schemas.attribute_declaration import AttributeDeclarationRecord
from segmentation.attributes import AttributeCatalogue, AttributeDeclaration
from segmentation.model import AttributeName


class Declarations:
    """The declared attributes by name."""

    def __init__(self) -> None:
        self.known: dict[AttributeName, AttributeDeclaration] = {}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take a newer declaration. Errors: pydantic's ValidationError."""
        if value is None:
            self.known.pop(AttributeName(key.decode(errors="replace")), None)
            return
        record = AttributeDeclarationRecord.decode(value)
        self.known[record.name] = AttributeDeclaration(record.type, record.direction)

    def catalogue(self) -> AttributeCatalogue:
        """As the language sees them."""
        return AttributeCatalogue.of(self.known)
