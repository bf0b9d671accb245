"""Authorisation: whether the proof of a request authorises exactly this request (docs/protocol.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.store import Create, Snapshot

ATTESTED_ADMIN = "attested_admin"
UNSAFE_NO_ATTESTATION = "unsafe_no_attestation"
"""The names of the two authorisers. They stand here so that settings need not load an adapter to compare them."""


@dataclass(frozen=True, slots=True)
class Act:
    """The act to authorise: the signer's key, the group, the client, and the request's digest.

    `group` and `client_id` are empty if the request names none. `user` is the member with that key in that group, as of
    the snapshot that the decision rests on. It is empty if there is none.
    """

    npub: str
    group: str
    client_id: str
    digest: str
    user: str = ""


class Authoriser(Protocol):
    """Checks proofs."""

    @property
    def name(self) -> str:
        """Its name in audit entries. An authoriser that proves nothing must say so in its name."""
        ...

    def reads(self, proof: str) -> Sequence[str]:
        """Return the paths of the documents that `check` needs. The proof is not verified at this point."""
        ...

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:
        """Return the writes by which the act's own commit uses up the proof, if `proof` authorises `act`.

        Raises `Unauthenticated` or `Forbidden` otherwise, and `Unavailable` if the proof cannot be checked now.
        """
        ...
