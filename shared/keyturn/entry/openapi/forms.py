"""Schemas of values (JSON Schema 2020-12), from which the descriptions of the functions are composed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema: TypeAlias = "dict[str, Any]"

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "integer", "description": "Unix milliseconds", "minimum": 0}
ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"}
ROTATION_ID: Schema = {
    "type": "string",
    "description": "an upper-case ULID or a lower-case hyphenated UUID",
    "pattern": "^([0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$",
}
ULID: Schema = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
NPUB: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "a Nostr public key (BIP-340), hex"}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "a SHA-256, lower-case hex"}
BASE64URL: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "description": "unpadded base64url"}
JWT: Schema = {"type": "string", "description": "a compact JWS (RFC 7515 §3.1)"}
OPEN: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*values: str) -> Schema:
    """Return the schema of one of a few texts."""
    return {"type": "string", "enum": list(values)}


def maybe(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def fields(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object. Further keys are ignored in requests; later versions may add some to answers."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def named(schema: Schema, description: str) -> Schema:
    """Return a schema with an explanation."""
    return {**schema, "description": description}
