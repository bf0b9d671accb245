"""Documents as Firestore's messages and back. This module imports the vendor's types, so it is loaded on first use.

It uses the raw protobuf classes. The vendor's wrappers would build every field of every value twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from google.cloud.firestore_v1.types import document
from google.protobuf.timestamp_pb2 import Timestamp

from keyturn.adapters.document_values import from_micros, micros
from keyturn.ports.store import StoreError

if TYPE_CHECKING:
    from keyturn.ports.store import Data, DocumentVersion, Value

Message: TypeAlias = Any
"""A protobuf message. Its classes are generated at import time, so a type checker does not know their fields."""

_Value: Message = document.Value.pb()
_Array: Message = document.ArrayValue.pb()
_Map: Message = document.MapValue.pb()


def fields(data: Data) -> dict[str, Message]:
    """Return a frozen document's fields as messages, by name."""
    return {name: value_message(value) for name, value in data.items()}


def value_message(value: Value) -> Message:  # noqa: PLR0911 - one line per type
    """Return one frozen value as a `google.firestore.v1.Value`."""
    match value:
        case None:
            return _Value(null_value=0)
        case bool():
            return _Value(boolean_value=value)
        case int():
            return _Value(integer_value=value)
        case str():
            return _Value(string_value=value)
        case bytes():
            return _Value(bytes_value=value)
        case datetime():
            return _Value(timestamp_value=timestamp(value))
        case Mapping():
            return _Value(map_value=_Map(fields=fields(value)))
    return _Value(array_value=_Array(values=[value_message(element) for element in value]))


def data_of(messages: Mapping[str, Message]) -> Data:
    """Return a document's fields as frozen data. StoreError for a type that keyturn never writes."""
    return MappingProxyType({name: _value(message) for name, message in messages.items()})


def _value(message: Message) -> Value:
    kind = message.WhichOneof("value_type")
    if kind in {"boolean_value", "integer_value", "string_value", "bytes_value"}:
        return getattr(message, kind)  # type: ignore[no-any-return] # the field's name says its type
    match kind:
        case "null_value":
            return None
        case "timestamp_value":
            return time_of(message.timestamp_value)
        case "map_value":
            return data_of(message.map_value.fields)
        case "array_value":
            return tuple(_value(element) for element in message.array_value.values)
    raise StoreError("a document holds a value of a type that keyturn does not write")


def timestamp(time: datetime) -> Timestamp:
    """Return an aware time as seconds and nanoseconds."""
    seconds, rest = divmod(micros(time), 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def time_of(stamp: Timestamp) -> datetime:
    """Return a timestamp as an aware UTC time in microseconds, the precision of times in Firestore documents."""
    return from_micros(stamp.seconds * 1_000_000 + stamp.nanos // 1000)


def version_of(update_time: Timestamp) -> DocumentVersion:
    """Return the exact update time as a version. Rounded to microseconds it could equal another version's."""
    return f"{update_time.seconds}.{update_time.nanos:09d}"


def update_time_of(version: DocumentVersion) -> Timestamp:
    """Return the update time that `version_of` encoded. ValueError for any other text."""
    seconds, _, nanos = version.partition(".")
    return Timestamp(seconds=int(seconds), nanos=int(nanos or 0))
