"""JSON objects that can be read in one way only: what is signed must mean the same to everyone who reads it."""

from __future__ import annotations

import json
from typing import NoReturn

from keyturn.proofs.errors import Malformed


def load_object(data: bytes | str) -> dict[str, object]:
    """Return the object in a JSON text (bytes are UTF-8, RFC 8259 §8.1).

    `Malformed` for anything else, duplicate names at any depth, NaN and infinities, lone surrogates, or nesting
    without end.
    """
    fields: object = None
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        fields = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
        json.dumps(fields, ensure_ascii=False).encode("utf-8")  # an escaped lone surrogate has no UTF-8 either
    except (ValueError, RecursionError):
        fields = None  # refused below, outside of this block: no cause that quotes the text hangs on the refusal
    if not isinstance(fields, dict):
        raise Malformed("malformed_json", "This is not a JSON object that can be read in one way only.")
    return fields


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):  # RFC 8259 §4 leaves open which of two equal names counts
        raise ValueError("duplicate name")
    return fields


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")
