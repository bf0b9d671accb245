"""The authoriser that proves nothing: until the attested admin is there, a signature and a leaf must do.

Its name says so, stage `production` refuses it by that name, and stage `trial` says so in every answer and audit entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from shared.ports.authorisation import Act

NAME = "unsafe_no_attestation"


class UnsafeAuthoriser:
    """Implements `Authoriser` by accepting every act of whoever signed it."""

    name = NAME

    def check(self, proof: str, act: Act, now: datetime) -> None:
        """Accept."""
