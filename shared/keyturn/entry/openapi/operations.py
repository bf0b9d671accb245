"""Operations: one line a route, as OpenAPI 3.1 has it (Operation Object, §4.8.10)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.entry.openapi.forms import ID, TEXT, Schema, ref

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation: TypeAlias = "dict[str, Any]"
Operations: TypeAlias = "Mapping[tuple[str, str], Operation]"
"""By method and path, as the door's routes name them (`/rotations/<key>`)."""

NIP98: Final = "nip98"
OPERATOR: Final = "operator"
CLIENT: Final = "client"
PROBLEM: Final[Operation] = {
    "description": "refused, or not possible now",
    "content": {"application/problem+json": {"schema": ref("Problem")}},
}
OAUTH_ERROR: Final[Operation] = {
    "description": "refused, in the form of RFC 6749 §5.2",
    "content": {"application/json": {"schema": ref("OAuthError")}},
}
_FORM: Final = "application/x-www-form-urlencoded"
_PLACE: Final = re.compile(r"<(\w+)>")


def operation(
    summary: str,
    answer: Schema,
    *,
    takes: Schema | None = None,
    form: Schema | None = None,
    signed: str = "",
    given: tuple[Operation, ...] = (),
    refused: Mapping[str, Operation] | None = None,
) -> Operation:
    """Return what a route does: `takes` a JSON body or a `form`, is `signed` by a security scheme, `given` parameters.

    `refused`: its answers by status where they are no problems.
    """
    said: Operation = {
        "summary": summary,
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": answer}}},
            "4XX": PROBLEM,
            "5XX": PROBLEM,
            **(refused or {}),
        },
        "security": [{signed: []}] if signed else [],
    }
    if given:
        said["parameters"] = list(given)
    content = {"application/json": {"schema": takes}} if takes else {_FORM: {"schema": form}} if form else None
    return {**said, "requestBody": {"required": True, "content": content}} if content else said


def query(name: str, schema: Schema, description: str) -> Operation:
    """Return an optional parameter of the query."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema = TEXT) -> Operation:
    """Return a header that is needed."""
    return {"name": name, "in": "header", "required": True, "schema": schema}


def paths_of(door: str, operations: Operations) -> dict[str, dict[str, Operation]]:
    """Return a door's Path Item Objects (§4.8.9), at the addresses that one machine serves them at."""
    paths: dict[str, dict[str, Operation]] = {}
    for (method, path), said in operations.items():
        places = [
            {"name": name, "in": "path", "required": True, "schema": said.get("x-places", {}).get(name, ID)}
            for name in _PLACE.findall(path)
        ]
        item = {name: value for name, value in said.items() if name != "x-places"}
        whole = {**item, "tags": [door], "parameters": [*places, *said.get("parameters", [])]}
        paths.setdefault(f"/{door}" + _PLACE.sub(r"{\1}", path), {})[method.lower()] = whole
    return paths


def at(said: Operation, **places: Schema) -> Operation:
    """Return an operation whose places in the path are of these schemas; the others are ids."""
    return {**said, "x-places": places}
