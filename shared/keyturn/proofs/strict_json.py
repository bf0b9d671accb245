"""JSON objects with exactly one meaning: a signed text must not be read differently by two parsers."""

from __future__ import annotations

import json
from typing import NoReturn

from keyturn.proofs.errors import Malformed


def load_object(data: bytes | str) -> dict[str, object]:
    """Return the object in a JSON text (bytes are UTF-8, RFC 8259 §8.1).

    Raises `Malformed` for anything else: duplicate names at any depth, NaN and infinities, lone surrogates, or very
    deep nesting.
    """
    fields: object = None
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        fields = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
        json.dumps(fields, ensure_ascii=False).encode("utf-8")  # refuses an escaped lone surrogate
    except (ValueError, RecursionError):
        fields = None  # refuse outside of this block: the exception here quotes the text, and must not become the cause
    if not isinstance(fields, dict):
        raise Malformed("malformed_json", "This is not a JSON object with exactly one meaning.")
    return fields


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):  # RFC 8259 §4: parsers differ in which of two equal names they use
        raise ValueError("duplicate name")
    return fields


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")
