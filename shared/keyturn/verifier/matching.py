"""Compare a presented value with versions: first by receipt key, a match by MAC too (docs/protocol.md §10)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import base64url_decode, base64url_encode, canonical_input
from keyturn.domain.secret_format import hint_of, well_formed
from keyturn.proofs.receipts import receipt_key
from keyturn.verifier.candidates import select_by_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.domain.model import Version
    from keyturn.ports.keys import MacKey

_PLACEHOLDER_SECRET: Final = "A" * 43


def match(secret: str, client_id: str, candidates: Sequence[Version]) -> Version | None:
    """Return the candidate that a presented value derives the receipt key of. No key service is called.

    `client_id` is the client that the candidates belong to. A placeholder among them has another one.
    """
    # The work depends on nothing that a caller must not learn. A malformed value costs as many derivations as a
    # well-formed one, a placeholder as much as a version, and a match does not end the loop.
    derivable = secret if well_formed(secret) else _PLACEHOLDER_SECRET
    first = None
    for version in select_by_hint(candidates, hint_of(derivable)):
        key = receipt_key(
            derivable, client_id=client_id, version_id=version.version_id, rotation_id=version.rotation_id
        )
        if hmac.compare_digest(base64url_encode(key), version.receipt_key or "") and first is None:
            first = version
    return first if derivable == secret else None


def confirm(secret: str, version: Version, mac_key: MacKey) -> bool:
    """Return whether the MAC key agrees that this is the version's secret. It costs one call to the key service."""
    if version.mac_key_ref is None or version.secret_hash is None:
        return False
    data = canonical_input(version.client_id, version.version_id, secret)
    return mac_key.verify(version.mac_key_ref, data, base64url_decode(version.secret_hash))


def matches(secret: str, version: Version, mac_key: MacKey) -> bool:
    """Return whether a presented value is the version's secret, by receipt key and by MAC."""
    return match(secret, version.client_id, [version]) is not None and confirm(secret, version, mac_key)
