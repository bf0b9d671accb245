"""Operations: one per route, as OpenAPI 3.1 describes them (Operation Object, §4.8.10)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.entry.openapi.forms import ID, TEXT, Schema, ref

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation: TypeAlias = "dict[str, Any]"
Operations: TypeAlias = "Mapping[tuple[str, str], Operation]"
"""By method and path, written as in the route tables (`/rotations/<key>`)."""

NIP98: Final = "nip98"
OPERATOR: Final = "operator"
CLIENT: Final = "client"
PROBLEM: Final[Operation] = {
    "description": "refused, or impossible now",
    "content": {"application/problem+json": {"schema": ref("Problem")}},
}
OAUTH_ERROR: Final[Operation] = {
    "description": "refused, in the form of RFC 6749 §5.2",
    "content": {"application/json": {"schema": ref("OAuthError")}},
}
_HEADERS_OF_STATUS: Final = {"401": "WWW-Authenticate", "405": "Allow", "429": "Retry-After"}
"""The header that a response of each status has (RFC 9110 §15.5.2 and §15.5.6, RFC 6585 §4)."""
_FORM: Final = "application/x-www-form-urlencoded"
_PATH_PARAMETER: Final = re.compile(r"<(\w+)>")


def operation(
    summary: str,
    answer: Schema | None,
    *,
    takes: Schema | None = None,
    form: Schema | None = None,
    signed: str = "",
    parameters: tuple[Operation, ...] = (),
    errors: Mapping[str, Operation] | None = None,
) -> Operation:
    """Return a route's operation: it takes a JSON body or a `form`, and its security scheme is `signed`.

    An operation without an `answer` answers 204.
    `errors` are its error responses by status where they are not problems (RFC 9457).
    """
    described: Operation = {
        "summary": summary,
        "responses": {
            **_success(answer),
            **refusals({"4XX": PROBLEM, "5XX": PROBLEM, **(errors or {})}),
        },
        "security": [{signed: []}] if signed else [],
    }
    if parameters:
        described["parameters"] = list(parameters)
    content = {"application/json": {"schema": takes}} if takes else {_FORM: {"schema": form}} if form else None
    return {**described, "requestBody": {"required": True, "content": content}} if content else described


def _success(answer: Schema | None) -> Operation:
    if answer is None:
        return {"204": {"description": "done"}}
    return {"200": {"description": "done", "content": {"application/json": {"schema": answer}}}}


def refusals(errors: Mapping[str, Operation]) -> Operation:
    """Return error responses by status, among them those that must have a header, with that header."""
    required = {
        status: {**errors.get(status, errors["4XX"]), "headers": {name: {"required": True, "schema": TEXT}}}
        for status, name in _HEADERS_OF_STATUS.items()
    }
    # No OAuth2 client is addressed by a method that the endpoint does not have: that is always a problem.
    return {**errors, **required, "405": {**required["405"], **PROBLEM, "headers": required["405"]["headers"]}}


def query(name: str, schema: Schema, description: str) -> Operation:
    """Return an optional parameter of the query."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema = TEXT) -> Operation:
    """Return a header that a request may have."""
    return {"name": name, "in": "header", "required": False, "schema": schema}


def paths_of(function: str, operations: Operations) -> dict[str, dict[str, Operation]]:
    """Return a function's Path Item Objects (§4.8.9), at the addresses of one machine."""
    paths: dict[str, dict[str, Operation]] = {}
    for (method, path), described in operations.items():
        path_parameters = [
            {"name": name, "in": "path", "required": True, "schema": described.get("x-path-schemas", {}).get(name, ID)}
            for name in _PATH_PARAMETER.findall(path)
        ]
        item = {name: value for name, value in described.items() if name != "x-path-schemas"}
        operation_object = {
            **item,
            "tags": [function],
            "parameters": [*path_parameters, *described.get("parameters", []), *_headers(function, method)],
        }
        paths.setdefault(f"/{function}" + _PATH_PARAMETER.sub(r"{\1}", path), {})[method.lower()] = operation_object
    return paths


def _headers(function: str, method: str) -> list[Operation]:
    """Return the headers that every request of this kind may have."""
    if (function, method) != (OPERATOR, "POST"):
        return []
    return [header("Idempotency-Key")]


def at(described: Operation, **schemas: Schema) -> Operation:
    """Return an operation with these schemas for its path parameters. The other path parameters are ids."""
    return {**described, "x-path-schemas": schemas}
