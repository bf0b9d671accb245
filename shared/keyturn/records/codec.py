"""Convert records to documents and back: one codec for all of them, driven by their annotations.

`from_data` reads what this release can read and keeps the rest for writing (`domain.record`). A document that does not
hold its entity is `Broken`. `salvage` reads such a document as well, with stand-ins for the fields that are damaged.
"""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from keyturn.domain.errors import Broken
from keyturn.domain.record import MISSING, Record, Unread, unrecognised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.ports.store import Data, Document, Value

_T = TypeVar("_T", bound=Record)
_Read: TypeAlias = "Callable[[Any], Any]"

_log = logging.getLogger("keyturn")

UNREAD: Final = "unread"
"""The field of a record that is no field of its document."""
DERIVED: Final = frozenset({"live", "next_due_at", "due_shard", "changed_at", "waiting_for", "hint", "expires_at"})
"""Fields that are computed anew with each write and never read into their entity."""
_SCALARS: Final = (str, int, bool, bytes, datetime)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_data(entity: Record) -> dict[str, Value]:
    """Return an entity's document, with the fields that this release could not read as they were stored."""
    data = _as_data(entity, to_data)
    for name, item in entity.unread.items():
        # A damaged field that got a value since is no longer damaged.
        if item.value is not MISSING and (name not in data or getattr(entity, name) is item.stand_in):
            data[name] = item.value  # type: ignore[assignment]  # it was read from a document
        elif item.value is MISSING and getattr(entity, name) is item.stand_in:
            del data[name]
    return data


def known_data(entity: Record) -> dict[str, Value]:
    """Return the fields that this release knows: enums as text, nested entities as maps, tuples as lists."""
    return _as_data(entity, known_data)


def _as_data(entity: Record, convert: Callable[[Record], dict[str, Value]]) -> dict[str, Value]:
    kind: type = type(entity)
    return {name: _plain(getattr(entity, name), convert) for name in _field_names(kind)}


def _plain(value: Any, convert: Callable[[Record], dict[str, Value]]) -> Any:  # noqa: ANN401 - a field may hold any type
    if isinstance(value, Record):
        return convert(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item, convert) for item in value]
    return value


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.name != UNREAD)


@functools.cache
def optional_names(kind: type) -> frozenset[str]:
    """Return the fields that older documents of a class of entities lack."""
    return frozenset(item.name for item in fields(kind) if item.metadata.get("optional"))


def from_data(kind: type[_T], data: Data) -> _T:
    """Return the entity of class `kind` that a document holds. Raise `Broken` if a field is missing or malformed."""
    try:
        entity: _T = _read_record(kind, data)
    except (TypeError, ValueError):
        # `from None`: the original error may quote a stored value.
        raise Broken("a stored document does not hold the entity that its path names") from None
    return entity


def readable(kind: type[_T], documents: Iterable[Document]) -> list[_T]:
    """Return the entities of those documents that exist and hold one. A damaged one is logged, with its path only."""
    entities: list[_T] = []
    for document in documents:
        if document.data is not None:
            try:
                entities.append(from_data(kind, document.data))
            except Broken:
                _log.error("a document cannot be read: %s", document.path)
    return entities


def salvage(kind: type[_T], data: Data) -> _T:
    """Return the entity that a document holds, with stand-ins for `damaged` fields. Never raises for any content.

    The caller decides without which fields the entity is of no use.
    """
    entity: _T
    try:
        entity = _read_record(kind, data)
    except (TypeError, ValueError):
        entity = _salvage_fields(kind, data)
    return entity


def _read_record(kind: type, data: object) -> Any:  # noqa: ANN401 - an entity of class `kind`
    if not isinstance(data, Mapping):
        raise TypeError
    readers = _readers(kind)
    values = {name: readers[name](value) for name, value in data.items() if name in readers}
    unknown = data.keys() - readers.keys() - DERIVED
    if len(values) < len(readers) and not readers.keys() - values.keys() <= optional_names(kind):
        raise TypeError
    return kind(**values, unread={name: Unread(data[name]) for name in unknown}) if unknown else kind(**values)


def _salvage_fields(kind: type, data: Data) -> Any:  # noqa: ANN401 - an entity of class `kind`
    values: dict[str, Any] = {}
    unread = {name: Unread(data[name]) for name in data.keys() - _readers(kind).keys() - DERIVED}
    for name, read in _readers(kind).items():
        if name not in data and name in optional_names(kind):
            continue
        try:
            values[name] = read(data[name])
        except (KeyError, TypeError, ValueError):
            values[name] = _stand_in(get_type_hints(kind)[name])
            unread[name] = Unread(data.get(name, MISSING), values[name])
    return kind(**values, unread=unread)


# --- readers of fields, by annotation --------------------------------------------------------------------------------


@functools.cache
def _readers(kind: type) -> Mapping[str, _Read]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items() if name != UNREAD}


def _reader(hint: Any) -> _Read:  # noqa: ANN401 - a dataclass's annotation
    if isinstance(hint, types.UnionType):
        read = _reader(_not_none(hint))
        return lambda value: None if value is None else read(value)
    if get_origin(hint) is tuple:
        return functools.partial(_read_list, _reader(get_args(hint)[0]))
    if get_origin(hint) is Mapping:
        return _read_map
    if issubclass(hint, StrEnum):
        return functools.partial(_read_enum, hint)
    return functools.partial(_read_record if issubclass(hint, Record) else _read_scalar, hint)


def _not_none(hint: types.UnionType) -> Any:  # noqa: ANN401 - a dataclass's annotation
    return next(option for option in get_args(hint) if option is not types.NoneType)


def _read_list(read: _Read, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(map(read, value))


def _read_map(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)


def _read_enum(kind: type[StrEnum], value: object) -> StrEnum:
    if not isinstance(value, str):
        raise TypeError
    try:
        return kind(value)
    except ValueError:
        return unrecognised(kind, value)


def _read_scalar(kind: type, value: object) -> object:
    # bool is a subclass of int in Python, and no number of a document is one.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError
    return value


def _stand_in(hint: Any) -> Any:  # noqa: ANN401 - a dataclass's annotation
    if isinstance(hint, types.UnionType):
        return None
    if get_origin(hint) is tuple:
        return ()
    if get_origin(hint) is Mapping:
        return {}
    if issubclass(hint, StrEnum):
        return unrecognised(hint, "")
    if issubclass(hint, Record):
        return _salvage_fields(hint, {})
    return _EPOCH if hint is datetime else hint()
