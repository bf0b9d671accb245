"""Door: a secret version was written; publish what its state now requires (protocol.md §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import functions_framework
from keyturn.entry.composition.suite import current
from keyturn.entry.http.cloud_events import Delivered, woken

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def _written(delivered: Delivered) -> Mapping[str, object]:
    return {"published": current().distribution.publish(*delivered.document("oauth2_clients", "secrets"))}


ROUTES = woken(_written)


@functions_framework.http
def on_secret_version(request: flask.Request) -> flask.Response:
    """Take one event of the store."""
    return ROUTES.answer(request)
