"""The OpenAPI 3.1 document of all functions, as `status` serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn import __version__
from keyturn.entry.openapi.integrators import CLIENT_TOKEN
from keyturn.entry.openapi.members import ADMIN_PROOF, ENROL, ROTATE_REQUEST, STATUS
from keyturn.entry.openapi.operations import CLIENT, NIP98, OPERATOR, paths_of
from keyturn.entry.openapi.operators import ADMINISTRATION, DISTRIBUTE, GRACE_SWEEPER, ON_SECRET_VERSION
from keyturn.entry.openapi.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.entry.openapi.operations import Operations

VERSION: Final = __version__

OPERATIONS: Final[Mapping[str, Operations]] = {
    "admin_proof": ADMIN_PROOF,
    "client_token": CLIENT_TOKEN,
    "distribute": DISTRIBUTE,
    "enrol": ENROL,
    "grace_sweeper": GRACE_SWEEPER,
    "on_secret_version": ON_SECRET_VERSION,
    "operator": ADMINISTRATION,
    "rotate_request": ROTATE_REQUEST,
    "status": STATUS,
}

_SCHEMES: Final = {
    NIP98: {"type": "http", "scheme": "nostr", "description": "NIP-98: a signed event that names this very request"},
    OPERATOR: {
        "type": "http",
        "scheme": "bearer",
        "description": "the operator's token on one machine, IAM in the cloud",
    },
    CLIENT: {
        "type": "http",
        "scheme": "basic",
        "description": "RFC 6749 §2.3.1, or client_id and client_secret in the form",
    },
}


def document(base_url: str) -> dict[str, Any]:
    """Return the description of all functions of a deployment at `base_url`."""
    paths = {path: item for name, routes in OPERATIONS.items() for path, item in paths_of(name, routes).items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "keyturn",
            "version": VERSION,
            "summary": "Rotates static API credentials without downtime.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": _SCHEMES},
    }
