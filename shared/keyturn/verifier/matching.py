"""Whether a presented secret is a version's: locally first, at the MAC key only for what matched (protocol.md §10)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode, base64url_encode, canonical_input
from keyturn.domain.secret_format import well_formed
from keyturn.proofs.receipts import receipt_key

if TYPE_CHECKING:
    from keyturn.domain.model import Version
    from keyturn.ports.keys import MacKey

__all__ = ["confirmed", "matches", "resembles", "well_formed"]


def resembles(secret: str, version: Version, client_id: str | None = None) -> bool:
    """Return whether the receipt key derived from a well-formed secret is the version's: no call to any key service.

    `client_id` is whose the version is meant to be, where that may be a dummy: its derivation is as long as any.
    """
    whose = version.client_id if client_id is None else client_id
    derived = receipt_key(secret, client_id=whose, version_id=version.version_id, rotation_id=version.rotation_id)
    return hmac.compare_digest(base64url_encode(derived), version.receipt_key or "")


def confirmed(secret: str, version: Version, mac_key: MacKey) -> bool:
    """Return whether the MAC key agrees that this is the version's secret: one call."""
    if version.mac_key_ref is None or version.secret_hash is None:
        return False
    data = canonical_input(version.client_id, version.version_id, secret)
    return mac_key.verify(version.mac_key_ref, data, base64url_decode(version.secret_hash))


def matches(secret: str, version: Version, mac_key: MacKey) -> bool:
    """Return whether a presented value is the version's secret."""
    return well_formed(secret) and resembles(secret, version) and confirmed(secret, version, mac_key)
