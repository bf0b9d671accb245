"""The requests of `enrol`: parse, call the use case, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import body_of
from keyturn.entry.http.views import event_view
from keyturn.proofs.jws import MAX_TOKEN
from keyturn.proofs.nip98 import check_authorization
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

_SHORT = 256


def join(request: flask.Request) -> Mapping[str, Any]:
    """Answer a key package with a Welcome, by an invite's code or for a device that is known."""
    fields = Fields(load_object(body_of(request)))
    event = fields.fields("event").values
    code = fields.optional_text("code")
    joined = (
        current().enrolment.join(code, event) if code else current().enrolment.join.rejoin(fields.text("group"), event)
    )
    return {**joined, "event": event_view(joined["event"])}


def register(request: flask.Request) -> Mapping[str, Any]:
    """Register a device, with a new TOTP where it takes one; the npub signed this very request (NIP-98)."""
    from keyturn.use_cases.enrolment.register_device import RegistrationRequest  # noqa: PLC0415 - joining again needs none of it

    npub, fields = _signed(request)
    device = fields.fields("device")
    offered = RegistrationRequest(
        npub=npub,
        code=fields.text("code", limit=_SHORT),
        challenge=fields.text("challenge", limit=_SHORT),
        id_token=fields.text("id_token", limit=MAX_TOKEN),
        device_kind=device.text("kind", limit=_SHORT),
        device_id=device.optional_text("device_id"),
        evidence=device.values,
    )
    return current().enrolment.register(offered)


def confirm(request: flask.Request) -> Mapping[str, Any]:
    """Confirm a registration by a one-time code."""
    npub, fields = _signed(request)
    code, totp = (fields.text(name, limit=_SHORT) for name in ("code", "totp"))
    return current().enrolment.register.confirm(code, npub, totp)


def approve(request: flask.Request) -> Mapping[str, Any]:
    """Take an admin's consent to an invite."""
    return current().enrolment.approvals(Fields(load_object(body_of(request))).fields("event").values)


def _signed(request: flask.Request) -> tuple[str, Fields]:
    body = body_of(request)  # read once: what was signed is what is parsed
    url = f"{current().settings.base_url}{request.root_path}{request.path}"
    now = current().databases.auth.get([]).read_time
    header = request.headers.get("Authorization", "")
    npub = check_authorization(header, url=url, method="POST", body=body, now=now).pubkey
    return npub, Fields(load_object(body))
