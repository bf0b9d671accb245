"""Authorisation: whether the proof that came with an act is good for exactly this act (protocol.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.store import Create, Snapshot


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody is about to do: the signer's key, in whose group, to which client, and the request's digest.

    `group` and `client_id` are empty where the request names none. `user` is who has that key in that group, as of the
    snapshot that the act rests on: empty for a stranger.
    """

    npub: str
    group: str
    client_id: str
    digest: str
    user: str = ""


class Authoriser(Protocol):
    """Judges proofs."""

    @property
    def name(self) -> str:
        """What stands in audit entries for it; one that proves nothing says so in its name."""
        ...

    def reads(self, proof: str) -> Sequence[str]:
        """Return the paths that `check` must find in its snapshot; nothing about `proof` is believed yet."""
        ...

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:
        """Return what the act's own commit must write, for the proof to be used up by it, if `proof` authorises `act`.

        Otherwise `Unauthenticated` or `Forbidden`; `Unavailable` when it cannot be judged now.
        """
        ...
