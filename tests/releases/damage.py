"""Every way to damage one field of a document: it is missing, of another type, of another value, or an unknown word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Data
    from keyturn.records.schema import DocumentShape

NEWER = "of-a-newer-release"


@dataclass(frozen=True)
class Damage:
    """One damaged document: the field by its names from the outside in, what happened to it, and the whole content."""

    field: str
    what: str
    data: Data


def damages(data: Data, shape: DocumentShape) -> Iterator[Damage]:
    """Yield a damaged copy of a document for each field, also within objects and within the first object of a list.

    A field within an object is damaged in one way: for the reader of the object all of them are the same.
    """
    for name, value in data.items():
        inner = {**shape.required, **shape.optional}.get(name)
        yield Damage(name, "missing", {key: item for key, item in data.items() if key != name})
        for what, other in _others(value, inner):
            yield Damage(name, what, {**data, name: other})
        for path, damaged in _damaged_within(value, inner):
            yield Damage(f"{name}.{path}", "of another type", {**data, name: damaged})


def _damaged_within(value: Any, shape: DocumentShape | None) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a stored value
    """Yield the damaged copies of an object, or of a list of objects, with the path of the damaged field."""
    if isinstance(value, Mapping) and shape is not None:
        inner_shapes = {**shape.required, **shape.optional}
        for name, item in value.items():
            yield name, {**value, name: next(other for what, other in _others(item, None) if what == "of another type")}
            for path, damaged in _damaged_within(item, inner_shapes.get(name)):
                yield f"{name}.{path}", {**value, name: damaged}
    elif _is_list(value) and value:
        for path, damaged in _damaged_within(value[0], shape):
            yield f"0.{path}", [damaged, *value[1:]]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _others(value: Any, shape: DocumentShape | None) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a stored value
    yield "of another type", "text" if isinstance(value, int | float | datetime | bytes) or value is None else 17
    if shape is not None and shape.words:
        yield "an unknown word", NEWER
    elif isinstance(value, bool):
        yield "of another value", not value
    elif isinstance(value, int):
        yield "of another value", -value - 1
    elif isinstance(value, str):
        yield "of another value", "another/value"
    elif isinstance(value, datetime):
        yield "of another value", value + timedelta(days=365 * 50)
    elif _is_list(value):
        yield "of another value", [17]
    elif isinstance(value, Mapping):
        yield "of another value", {"another": 17}
