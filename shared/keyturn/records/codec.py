"""Entities as documents and back: one codec for all of them, driven by the dataclasses' own annotations."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from keyturn.domain.errors import Broken

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from keyturn.ports.store import Data, Value

_T = TypeVar("_T", bound="DataclassInstance")


def to_data(entity: DataclassInstance) -> dict[str, Value]:
    """Return the document of an entity: its fields by name, enums as text, nested entities as maps."""
    return {field.name: _plain(getattr(entity, field.name)) for field in fields(entity)}


def _plain(value: Any) -> Value:  # noqa: ANN401 - whatever an entity's field holds
    if is_dataclass(value) and not isinstance(value, type):
        return to_data(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return cast("Value", value)


def from_data(kind: type[_T], data: Data) -> _T:
    """Return the entity of a document; fields that it does not know are left alone; `Broken` if one is missing."""
    try:
        return kind(**{name: _typed(hint, data[name]) for name, hint in _hints(kind).items() if name in data})
    except (KeyError, TypeError, ValueError):
        raise Broken("a stored document is not the entity that its path says") from None


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:  # noqa: ANN401 - a dataclass's annotation and what the store holds for it
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
