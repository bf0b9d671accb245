"""Convert dataclasses to documents and back: one codec for all of them, driven by their annotations."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from keyturn.domain.errors import Broken

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from keyturn.ports.store import Data, Value

_T = TypeVar("_T", bound="DataclassInstance")


def to_data(entity: DataclassInstance) -> dict[str, Value]:
    """Return an entity's document: fields by name, enums as text, nested entities as maps, tuples as lists."""
    return {field.name: _plain(getattr(entity, field.name)) for field in fields(entity)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - a dataclass field may hold any type
    if is_dataclass(value) and not isinstance(value, type):
        return to_data(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_data(kind: type[_T], data: Data) -> _T:
    """Return the entity of class `kind` that a document holds. Raise `Broken` if a field is missing or malformed.

    Unknown fields are ignored: a newer release may have written them.
    """
    try:
        return kind(**{name: _typed(hint, data[name]) for name, hint in _hints(kind).items() if name in data})
    except (KeyError, TypeError, ValueError):
        # `from None`: the original error may quote a stored value.
        raise Broken("a stored document does not hold the entity that its path names") from None


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:  # noqa: ANN401 - a dataclass's annotation and the stored value
    if value is None:
        return None
    if isinstance(hint, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return from_data(hint, value)
    return dict(value) if get_origin(hint) is Mapping else value
