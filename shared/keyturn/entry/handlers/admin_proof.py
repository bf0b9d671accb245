"""The requests of `admin_proof`: parse, call the use case, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import body_of
from keyturn.ports.authorisation import Act
from keyturn.proofs.jws import MAX_TOKEN
from keyturn.proofs.nip98 import check_authorization
from keyturn.proofs.strict_json import load_object
from keyturn.use_cases.admin_proof.factors import ProofRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

_DIGEST_CHARACTERS = 43
_SHORT = 256


def challenge(request: flask.Request) -> Mapping[str, Any]:
    """Return a challenge, and whether this deployment's acts need proofs at all."""
    _charge(request)
    issued = current().proofs.challenges.issue(current().databases.auth.get([]).read_time)
    return {**issued, "required": current().settings.attested}


def prove(request: flask.Request) -> Mapping[str, Any]:
    """Return a proof for what the body asks; the npub that proves its possession signed this very request (NIP-98)."""
    _charge(request)
    body = body_of(request)
    url = f"{current().settings.base_url}{request.root_path}{request.path}"
    now = current().databases.auth.get([]).read_time
    header = request.headers.get("Authorization", "")
    signer = check_authorization(header, url=url, method="POST", body=body, now=now).pubkey
    return current().proofs.prove_admin(_asked(signer, Fields(load_object(body))))


def jwks(_request: flask.Request) -> Mapping[str, Any]:
    """Return the keys that proofs verify with."""
    return current().proofs.issuer.jwks()


def _charge(request: flask.Request) -> None:
    # Right or wrong, it costs a call to a key: it is paid for before anything is looked at.
    from keyturn.entry.http.oauth import source  # noqa: PLC0415 - a door imports little before it is asked

    asking = source(request)
    current().proofs.budgets.admit(asking)
    current().proofs.budgets.failed(asking)


def _optional_identifier(fields: Fields, name: str) -> str:
    given = fields.optional_text(name)
    return identifier(given) if given else ""


def _asked(npub: str, fields: Fields) -> ProofRequest:
    device = fields.fields("device")
    group, client_id = (_optional_identifier(fields, name) for name in ("mls_group", "client_id"))
    digest = fields.text("request_digest", limit=_DIGEST_CHARACTERS)
    if len(digest) != _DIGEST_CHARACTERS:
        raise InvalidRequest("bad_digest", "A request's digest is base64url of 32 bytes.")
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
