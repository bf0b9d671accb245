"""The function `admin_proof`: evidence about an admin in, a signed proof of their identity out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import body_of, charge
from keyturn.entry.http.routing import Routes
from keyturn.entry.http.signatures import signature
from keyturn.ports.authorisation import Act
from keyturn.proofs.jws import MAX_TOKEN
from keyturn.proofs.strict_json import load_object
from keyturn.use_cases.admin_proof.factors import ProofRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

_DIGEST_CHARACTERS = 43
_SHORT = 256


def challenge(request: flask.Request) -> Mapping[str, Any]:
    """Issue a challenge. `required` says whether this deployment's commands need proofs at all."""
    suite = current()
    charge(request, suite.proofs.failure_limits)  # each challenge costs a call to the MAC key
    issued = suite.proofs.challenges.issue(suite.databases.auth.get([]).read_time)
    return {**issued, "required": suite.settings.attested}


def prove(request: flask.Request) -> Mapping[str, Any]:
    """Issue a proof for the command in the body. The admin's npub signs this very request, so it proves possession."""
    suite = current()
    charge(request, suite.proofs.failure_limits)
    body = body_of(request)  # read once: the signed bytes are the parsed bytes
    npub = signature(request, body, suite.databases.auth)
    return suite.proofs.prove_admin(_evidence(npub, Fields(load_object(body))))


def jwks(_request: flask.Request) -> Mapping[str, Any]:
    """Return the public keys of proofs."""
    return current().proofs.issuer.jwks()


ROUTES: Final = Routes("admin_proof", {
    ("POST", "/challenge"): challenge,
    ("POST", "/proof"): prove,
    ("GET", "/.well-known/jwks.json"): jwks,
})  # fmt: skip


def _evidence(npub: str, fields: Fields) -> ProofRequest:
    device = fields.fields("device")
    group, client_id = (_optional_identifier(fields, name) for name in ("mls_group", "client_id"))
    digest = fields.text("request_digest", limit=_DIGEST_CHARACTERS)
    if len(digest) != _DIGEST_CHARACTERS:
        raise InvalidRequest("bad_digest", "A request digest is 32 bytes in base64url.")
    return ProofRequest(
        act=Act(npub, group, client_id, digest),
        challenge=fields.text("challenge", limit=_SHORT),
        id_token=fields.text("id_token", limit=MAX_TOKEN),
        device_kind=device.text("kind", limit=_SHORT),
        device_id=device.text("device_id", limit=2 * _SHORT),
        evidence=device.values,
        totp=fields.text("totp", limit=_SHORT),
        action=fields.optional_text("action"),
    )


def _optional_identifier(fields: Fields, name: str) -> str:
    text = fields.optional_text(name)
    return identifier(text) if text else ""
