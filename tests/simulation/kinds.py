"""Kinds of documents: those that a campaign writes, and those that it does not, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.records.schema import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_WRITTEN: Mapping[str, str] = {
    "admins/{user}": "commands need no admin proof here: tests/proving attacks proofs",
    "npubs/{npub}": "the same",
    "service/admins": "the same",
    "challenges/{nonce}": "the same",
    "proofs/{jti}": "the same",
    "refusals/{day_shard}": "the same: refusals of proofs are kept there",
    "admin_standing/{user}": "the same: only registered admins are suspended",
    "relay_outbox/{event}": "no outside relays are set: tests/use_cases/groups publishes to relays",
    "revoked_tokens/{token}": "no access tokens are issued here: tests/verifier issues and revokes them",
    "service/frozen": "no store is copied: tests/scenarios takes copies",
}


def patterns() -> set[str]:
    """Return the pattern of each kind of document."""
    return {kind.pattern for kind in KINDS}


def kinds_of(paths: Iterable[str]) -> set[str]:
    """Return the patterns of the kinds to which paths belong."""
    return {kind.pattern for path in set(paths) for kind in KINDS if kind.matches(path)}


def missing_kinds(written: Iterable[str]) -> list[str]:
    """Return the kinds that a campaign should have written, and has not."""
    return sorted(patterns() - set(NOT_WRITTEN) - set(written))
