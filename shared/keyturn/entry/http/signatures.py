"""Signed requests: which npub signed one (NIP-98)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.errors import Unauthenticated
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import body_of
from keyturn.proofs.nip98 import check_authorization, signed_url

if TYPE_CHECKING:
    import flask

    from keyturn.ports.store import Store


def signer_of(request: flask.Request) -> str:
    """Return the npub that signed this very request (NIP-98). `Unauthenticated` if it is not signed."""
    return signature(request, body_of(request), current().databases.control)


def signature(request: flask.Request, body: bytes, store: Store) -> str:
    """Return the npub of a request's NIP-98 signature. The store's clock says whether it is recent.

    `Unauthenticated` if the request is not signed.
    """
    header = request.headers.get("Authorization")
    if not header:
        raise Unauthenticated("not_signed", "This request must be signed (NIP-98).")
    # The URL is built from the configured address: a caller chooses the Host header.
    url = signed_url(
        current().settings.base_url, request.root_path + request.path, request.query_string.decode("ascii", "replace")
    )
    # The store's clock, not this machine's: all instances agree on it, whatever their own clocks say.
    now = store.get([]).read_time
    return check_authorization(header, url=url, method=request.method, body=body, now=now).pubkey
