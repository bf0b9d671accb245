"""Documents as JSON text: times as tagged integer microseconds, bytes as tagged base64.

A tag is an object with one key: `{"$t": 1}` is a time and `{"$b": "AA=="}` is bytes. `{"$m": {…}}` escapes a map that
itself has a key called `$t`, `$b` or `$m`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from keyturn.adapters.document_values import from_micros, micros

if TYPE_CHECKING:
    from keyturn.ports.store import Data, Value

_TAGS = ("$t", "$b", "$m")


def encode(data: Data) -> str:
    """Return a frozen document as JSON text."""
    plain = {name: _plain(value) for name, value in data.items()}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> Data:
    """Return the frozen document that `encode` wrote. ValueError, KeyError or TypeError for any other text."""
    return MappingProxyType({name: _value(plain) for name, plain in json.loads(text).items()})


def _plain(value: Value) -> object:
    match value:
        case datetime():
            return {"$t": micros(value)}
        case bytes():
            return {"$b": b64encode(value).decode()}
        case Mapping():
            plain = {name: _plain(inner) for name, inner in value.items()}
            return {"$m": plain} if _has_tag(plain) else plain
        case list() | tuple():
            return [_plain(element) for element in value]
    return value


def _value(plain: Any) -> Value:  # noqa: ANN401 - the result of json.loads
    if isinstance(plain, list):
        return tuple(_value(element) for element in plain)
    if not isinstance(plain, dict):
        return plain  # type: ignore[no-any-return] # a JSON scalar
    return _decode_tag(plain) if _has_tag(plain) else _mapping(plain)


def _mapping(plain: Mapping[str, Any]) -> Mapping[str, Value]:
    return MappingProxyType({name: _value(inner) for name, inner in plain.items()})


def _decode_tag(plain: Mapping[str, Any]) -> Value:
    ((tag, inner),) = plain.items()
    if tag == "$t":
        return from_micros(inner)
    return b64decode(inner, validate=True) if tag == "$b" else _mapping(inner)


def _has_tag(plain: Mapping[str, object]) -> bool:
    return any(tag in plain for tag in _TAGS)
