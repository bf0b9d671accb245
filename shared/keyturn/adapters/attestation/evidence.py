"""Typed access to attestation evidence. Refusals never quote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import InvalidRequest
from keyturn.ports.attestation import AttestationRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_FIELD = 32 * 1024
"""In characters. An attestation object with its certificates has a few thousand."""


def text(evidence: Mapping[str, object], name: str) -> str:
    """Return a string field. `AttestationRefused` if it is missing, of another type or too long."""
    value = evidence.get(name)
    if not isinstance(value, str) or len(value) > LARGEST_FIELD:
        raise AttestationRefused("malformed_evidence")
    return value


def octets(evidence: Mapping[str, object], name: str) -> bytes:
    """Return the bytes of an unpadded base64url field. `AttestationRefused` if it is missing or malformed."""
    try:
        return base64url_decode(text(evidence, name))
    except InvalidRequest:
        raise AttestationRefused("malformed_evidence") from None


def require(holds: bool, reason: str) -> None:  # noqa: FBT001 - a condition, not an option
    """Raise `AttestationRefused(reason)` unless the condition holds."""
    if not holds:
        raise AttestationRefused(reason)
