"""The operator's requests about admins: parse, call one use case, show."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import NotFound
from keyturn.entry.composition.suite import current
from keyturn.entry.config.proof_settings import LOCAL_IDENTITY
from keyturn.entry.http.routing import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.records.admin import Admin


def list_admins(_request: flask.Request) -> Mapping[str, Any]:
    """Show all admins."""
    return {"admins": [_admin_view(admin) for admin in current().operator.suspension.admins()]}


def _admin_view(admin: Admin) -> Mapping[str, Any]:
    devices = [{"npub": device.npub, "kind": device.key.kind} for device in admin.devices]
    return {"user": admin.user, "status": admin.status.value, "devices": devices}


def suspend(_request: flask.Request, user: str) -> Mapping[str, Any]:
    """Stop an admin until they are resumed."""
    return {"user": user, "status": "suspended", **asdict(current().operator.suspension.suspend(user))}


def remove(_request: flask.Request, user: str) -> Mapping[str, Any]:
    """Stop an admin for good."""
    return {"user": user, "status": "removed", **asdict(current().operator.suspension.remove(user))}


def resume(_request: flask.Request, user: str) -> Mapping[str, Any]:
    """Let a suspended admin act again, or say what has to be approved first."""
    awaited = current().operator.suspension.resume(user)
    return {"user": user, "status": "suspended" if awaited else "active", "awaits_approval": awaited}


def id_token(request: flask.Request) -> Mapping[str, Any]:
    """Have the test authority of one machine say who somebody is; `NotFound` where an identity provider says it."""
    if current().proofs.settings.identity != LOCAL_IDENTITY:
        raise NotFound("unknown_path", "There is nothing at this path.")
    now = current().databases.auth.get([]).read_time
    authority = current().proofs.local_authority
    token = authority.issue(fields_of(request).text("user"), now)
    return {"id_token": token, "expires_at": authority.ends(now)}
