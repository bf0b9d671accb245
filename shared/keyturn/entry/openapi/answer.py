"""What `GET /openapi.json` answers: imported when somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.entry.composition.suite import current
from keyturn.entry.openapi.document import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def described(_request: flask.Request) -> Mapping[str, Any]:
    """Return the description of all doors of this deployment (OpenAPI)."""
    return document(current().settings.base_url)
