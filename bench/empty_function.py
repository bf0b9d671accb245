"""A function that does nothing: the cost of one hop through server and routes, as `keyturn up` serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def answer(_request: flask.Request) -> Mapping[str, object]:
    """Answer with an empty object."""
    return {}


ROUTES = Routes("empty_function", {("POST", "/"): answer})
