"""functions-framework answering a constant: no route, no body, no check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework

if TYPE_CHECKING:
    import flask


@functions_framework.http
def constant(_request: flask.Request) -> str:
    """Return the same answer to every request."""
    return "constant"
