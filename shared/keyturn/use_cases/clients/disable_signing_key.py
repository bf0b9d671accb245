"""Disable a version of a signing key, as after a leak. Every token and proof that it signed is refused from then on.

1. The JWKS lists it no longer, so verifiers that fetch the set refuse its signatures. On one machine ours do so at
   once, in the cloud within the lag of the list of versions.
2. The only enabled version of a key is never disabled, because no token could be issued then. Roll the key first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.keys import KeyRing

SIGNING_PURPOSES: Final = ("sign", "sign_rs256")


@dataclass(frozen=True, slots=True)
class DisableSigningKey:
    """The use case behind `keyturn keys disable` for a signing key."""

    keys: KeyRing

    def find(self, name_or_kid: str) -> str | None:
        """Return the name of the enabled version with this name or `kid`, None if it is of no signing key."""
        for name in (name for purpose in SIGNING_PURPOSES for name in self._enabled(purpose)):
            if name_or_kid in {name, self.keys.kid_of(name)}:
                return name
        return None

    def __call__(self, name: str) -> None:
        """Disable the version that `find` returned. Raises `Conflict` if it is the only one of its key."""
        if any(self._enabled(purpose) == [name] for purpose in SIGNING_PURPOSES):
            raise Conflict("key_in_use", "It is the only enabled version of this key. Roll the key first.")
        self.keys.disable(name)

    def _enabled(self, purpose: str) -> Sequence[str]:
        return [version.name for version in self.keys.enabled(purpose)]
