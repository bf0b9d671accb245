"""The function `enrol`: registers a device, takes its approvals, and lets it join its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import body_of, fields_of
from keyturn.entry.http.routing import Routes
from keyturn.entry.http.signatures import signature
from keyturn.entry.http.views import event_view
from keyturn.proofs.jws import MAX_TOKEN
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

_SHORT = 256


def join(request: flask.Request) -> Mapping[str, Any]:
    """Answer a key package with a Welcome: for an invite's code, or for a device that the group already knows."""
    # The request needs no signature of its own: the key package is inside an event that the device signed.
    fields = fields_of(request)
    event = fields.fields("event").values
    code = fields.optional_text("code")
    use_case = current().enrolment.join
    joined = use_case(code, event) if code else use_case.rejoin(fields.text("group"), event)
    return {**joined, "event": event_view(joined["event"])}


def register(request: flask.Request) -> Mapping[str, Any]:
    """Register a device, with a new TOTP secret where it needs one. The device's npub signs this very request."""
    from keyturn.use_cases.enrolment.register_device import RegistrationRequest

    npub, fields = _signed_fields(request)
    device = fields.fields("device")
    registration = RegistrationRequest(
        npub=npub,
        code=fields.text("code", limit=_SHORT),
        challenge=fields.text("challenge", limit=_SHORT),
        id_token=fields.text("id_token", limit=MAX_TOKEN),
        device_kind=device.text("kind", limit=_SHORT),
        device_id=device.optional_text("device_id"),
        evidence=device.values,
    )
    return current().enrolment.register(registration)


def confirm(request: flask.Request) -> Mapping[str, Any]:
    """Confirm a registration with the first one-time code of its authenticator."""
    npub, fields = _signed_fields(request)
    code, totp = (fields.text(name, limit=_SHORT) for name in ("code", "totp"))
    return current().enrolment.register.confirm(code, npub, totp)


def approve(request: flask.Request) -> Mapping[str, Any]:
    """Take an admin's approval of an invite."""
    return current().enrolment.approvals(fields_of(request).fields("event").values)


ROUTES: Final = Routes("enrol", {
    ("POST", "/"): join,
    ("POST", "/registration"): register,
    ("POST", "/registration/confirm"): confirm,
    ("POST", "/approvals"): approve,
})  # fmt: skip


def _signed_fields(request: flask.Request) -> tuple[str, Fields]:
    body = body_of(request)  # read once: the signed bytes are the parsed bytes
    return signature(request, body, current().databases.auth), Fields(load_object(body))
