"""The function `grace_sweeper`: promotes, expires and retires everything that is due."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def sweep(_request: flask.Request) -> Mapping[str, Any]:
    """Sweep once."""
    return asdict(current().distribution.sweep())


ROUTES: Final = Routes("grace_sweeper", {("POST", "/"): sweep})
