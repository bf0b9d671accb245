"""Errors of proofs, in the two families that a caller can act on.

    Refusal (keyturn.domain.errors)
    └── ProofError
        ├── Malformed    400  not a proof at all: form, encoding, types        (also an `InvalidRequest`)
        └── Unproven     401  well-formed, but not valid here and now          (also an `Unauthenticated`)

`reason` is a stable slug and the sentence a constant of this code. Neither contains any part of the proof.
"""

from __future__ import annotations

from keyturn.domain.errors import InvalidRequest, Refusal, Unauthenticated


class ProofError(Refusal):
    """A proof is not accepted."""


class Malformed(ProofError, InvalidRequest):  # noqa: N818 - a refusal, named like the others
    """The form is wrong. The same bytes will never be accepted."""


class Unproven(ProofError, Unauthenticated):  # noqa: N818 - a refusal, named like the others
    """The form is right, but the signature, the time, or the request in it is not."""
