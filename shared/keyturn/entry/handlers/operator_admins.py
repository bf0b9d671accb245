"""The operator's routes about admins: list, suspend, resume, remove."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import NotFound
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import call_of, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.records.admin import Admin


def list_admins(_request: flask.Request) -> Mapping[str, Any]:
    """List all admins."""
    return {"admins": [_admin_view(admin) for admin in current().operator.suspension.admins()]}


def suspend(request: flask.Request, user: str) -> Mapping[str, Any]:
    """Suspend an admin until they are resumed."""
    result = current().operator.suspension.suspend(user, call_of(request))
    return {"user": user, "status": "suspended", **asdict(result)}


def remove(request: flask.Request, user: str) -> Mapping[str, Any]:
    """Remove an admin for good."""
    result = current().operator.suspension.remove(user, call_of(request))
    return {"user": user, "status": "removed", **asdict(result)}


def resume(_request: flask.Request, user: str) -> Mapping[str, Any]:
    """Resume a suspended admin, or return the invite that other admins must approve first."""
    invite = current().operator.suspension.resume(user)
    return {"user": user, "status": "suspended" if invite else "active", "awaits_approval": invite}


def issue_id_token(request: flask.Request) -> Mapping[str, Any]:
    """Issue an ID token of one machine's test identity provider. `NotFound` where a real provider is configured."""
    suite = current()
    if not suite.proofs.has_local_identity:
        # The same answer as for a route that does not exist: production does not show that it knows a test provider.
        raise NotFound("unknown_path", "There is nothing at this path.")
    now = suite.databases.auth.get([]).read_time
    provider = suite.proofs.local_identity_provider
    return {"id_token": provider.issue(fields_of(request).text("user"), now), "expires_at": provider.ends(now)}


def _admin_view(admin: Admin) -> Mapping[str, Any]:
    devices = [{"npub": device.npub, "kind": device.key.kind} for device in admin.devices]
    return {"user": admin.user, "status": admin.status.value, "devices": devices}
