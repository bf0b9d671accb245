"""All functions of a deployment by name, each with its route table.

`keyturn up` serves these tables, and so do the entry points in `functions/<name>/main.py`, one table each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.entry.handlers import (
    admin_proof,
    client_token,
    distribute,
    enrol,
    grace_sweeper,
    on_secret_version,
    operator,
    rotate_request,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.entry.http.routing import Routes

FUNCTIONS: Final[Mapping[str, Routes]] = {
    "admin_proof": admin_proof.ROUTES,
    "client_token": client_token.ROUTES,
    "distribute": distribute.ROUTES,
    "enrol": enrol.ROUTES,
    "grace_sweeper": grace_sweeper.ROUTES,
    "on_secret_version": on_secret_version.ROUTES,
    "operator": operator.ROUTES,
    "rotate_request": rotate_request.ROUTES,
    "status": status.ROUTES,
}
