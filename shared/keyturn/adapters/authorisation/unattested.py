"""An authoriser that requires no proof: a signature by a group member is enough. For tests and trials only.

Its name contains "unsafe". Stage `production` refuses it by that name, and stage `trial` shows the name in every
response and audit entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.authorisation import Act
    from keyturn.ports.store import Create, Snapshot


class UnsafeAuthoriser:
    """Implements `Authoriser` by accepting every signed act."""

    name = UNSAFE_NO_ATTESTATION

    def reads(self, proof: str) -> Sequence[str]:  # noqa: ARG002 - it ignores proofs
        """Return no paths, because no proof is recorded as used."""
        return ()

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:  # noqa: ARG002 - it accepts everything
        """Accept the act."""
        return ()
