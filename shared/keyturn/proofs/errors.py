"""What a proof can be refused for, in the two ways that a caller may act on.

    Refusal (keyturn.domain.errors)
    └── ProofError
        ├── Malformed    400  it is no proof at all: form, encoding, types       (also an `InvalidRequest`)
        └── Unproven     401  well-formed, and proves nothing here and now       (also an `Unauthenticated`)

`reason` is a stable slug, the sentence a constant of ours: no part of what was presented is in either.
"""

from __future__ import annotations

from keyturn.domain.errors import InvalidRequest, Refusal, Unauthenticated


class ProofError(Refusal):
    """A presented proof is not accepted."""


class Malformed(ProofError, InvalidRequest):  # noqa: N818 - a refusal, named as its family names them
    """The form is wrong; the same bytes will never be accepted."""


class Unproven(ProofError, Unauthenticated):  # noqa: N818 - a refusal, named as its family names them
    """The form is right, but the signature, the time or the request that it names is not."""
