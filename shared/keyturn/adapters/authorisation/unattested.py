"""The authoriser that proves nothing: until the attested admin is there, a signature and a leaf must do.

Its name says so, stage `production` refuses it by that name, and stage `trial` says so in every answer and audit entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.authorisation import Act
    from keyturn.ports.store import Create, Snapshot

NAME = "unsafe_no_attestation"


class UnsafeAuthoriser:
    """Implements `Authoriser` by accepting every act of whoever signed it."""

    name = NAME

    def reads(self, proof: str) -> Sequence[str]:  # noqa: ARG002 - it looks at no proof
        """Return nothing: no proof is ever used up."""
        return ()

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:  # noqa: ARG002 - it looks at nothing
        """Accept."""
        return ()
