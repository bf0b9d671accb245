"""Fields of presented objects: typed, bounded, and never echoed when they are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.encodings import from_milliseconds
from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from datetime import datetime

MAX_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Fields:
    """An object in a request. Unknown keys are ignored. Every reader raises `InvalidRequest` for a wrong type."""

    values: Mapping[str, object]

    def text(self, name: str, *, limit: int = MAX_TEXT) -> str:
        """Return a string of at most `limit` characters."""
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > limit:
            raise InvalidRequest("bad_field", "A field that must be text is missing, of another type or too long.")
        return value

    def optional_text(self, name: str) -> str:
        """Return a string, empty if there is none."""
        return "" if self.values.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """Return an integer (no boolean, no float) of at most 53 bits."""
        value = self.values.get(name)
        # Larger integers are not exact in every JSON parser (RFC 8259 §6). In Python, a boolean is an int as well.
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
            raise InvalidRequest("bad_field", "A field that must be an integer is missing or of another type.")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return an integer, or None if there is none."""
        return None if self.values.get(name) is None else self.integer(name)

    def optional_time(self, name: str) -> datetime | None:
        """Return the UTC time of integer milliseconds, or None if there is none."""
        milliseconds = self.optional_integer(name)
        return None if milliseconds is None else from_milliseconds(milliseconds)

    def flag(self, name: str) -> bool:
        """Return a boolean, false if there is none."""
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise InvalidRequest("bad_field", "A field that must be true or false is of another type.")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, an empty one if there is none."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise InvalidRequest("bad_field", "A field that must be a list of texts is of another type.")
        return tuple(value)

    def fields(self, name: str) -> Fields:
        """Return a nested object."""
        value = self.values.get(name)
        if not isinstance(value, Mapping):
            raise InvalidRequest("bad_field", "A field that must be an object is missing or of another type.")
        return Fields(value)
