"""The service's own keys: its Nostr key and its MLS signature key. Created once per deployment, sealed in the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from keyturn.ports.store import Create, LostRace
from keyturn.proofs.nostr import PRIVATE_KEY_BYTES, public_key
from keyturn.records.paths import SERVICE

if TYPE_CHECKING:
    from keyturn.ports.effects import Random
    from keyturn.ports.keys import Sealer
    from keyturn.ports.store import Store

_ASSOCIATED_DATA = b"keyturn/service-identity/v1"
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """`private_key` signs Nostr events, `signature_seed` (Ed25519) the service's leaves. Both are bytes, 32."""

    npub: str
    private_key: bytes = field(repr=False)
    signature_seed: bytes = field(repr=False)


def load_identity(store: Store, sealer: Sealer, random: Random) -> ServiceIdentity:
    """Return the deployment's identity, created on first use. If two callers create it at once, both use the first."""
    document = store.get([SERVICE])[SERVICE]
    if document.data is not None:
        return _unsealed(cast("bytes", document.data["sealed"]), sealer)
    private_key, seed = random(PRIVATE_KEY_BYTES), random(_SEED_BYTES)
    sealed = sealer.seal(private_key + seed, _ASSOCIATED_DATA)
    try:
        store.commit([Create(SERVICE, {"npub": public_key(private_key), "sealed": sealed})])
    except LostRace:  # another instance created the identity first, so discard ours and use that one
        return load_identity(store, sealer, random)
    return ServiceIdentity(public_key(private_key), private_key, seed)


def _unsealed(sealed: bytes, sealer: Sealer) -> ServiceIdentity:
    keys = sealer.unseal(sealed, _ASSOCIATED_DATA)
    private_key, seed = keys[:PRIVATE_KEY_BYTES], keys[PRIVATE_KEY_BYTES:]
    return ServiceIdentity(public_key(private_key), private_key, seed)
