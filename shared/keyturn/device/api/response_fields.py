"""Typed readers for the fields of the server's answers. Each raises `UnreachableError` unless the field has its type.

docs/http.md lists the fields. An answer without them is not an answer of keyturn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from keyturn.device.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping


def text(fields: Mapping[str, object], name: str) -> str:
    """Return a string."""
    value = fields.get(name)
    return value if isinstance(value, str) else _refuse()


def optional_text(fields: Mapping[str, object], name: str) -> str | None:
    """Return a string, or None if the field is null or missing."""
    return None if fields.get(name) is None else text(fields, name)


def integer(fields: Mapping[str, object], name: str) -> int:
    """Return an integer that is not a boolean."""
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else _refuse()


def mapping(fields: Mapping[str, object], name: str) -> dict[str, object]:
    """Return an object."""
    value = fields.get(name)
    return value if isinstance(value, dict) else _refuse()


def mappings(fields: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """Return a list of objects."""
    value = fields.get(name)
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else _refuse()


def texts(fields: Mapping[str, object], name: str) -> list[str]:
    """Return a list of strings."""
    value = fields.get(name)
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else _refuse()


def _refuse() -> NoReturn:
    raise UnreachableError("This version of keyturn does not understand the server's answer.", "Upgrade keyturn.")
