"""Checks on the commits of a group: only the service changes the members, and each new member signed for its leaf.

1. Only the service's commits may add or remove members. No commit may give a remaining member another identity or
   signature key. A commit that breaks this is refused, and the membership keeps its state (docs/protocol.md §12).
2. A commit that adds a member comes with the key-package event that the new member signed. Its signer must be the
   identity of the new leaf, and the leaf must have the keys of that key package. So even the service can't add another
   device under the identity of a known one.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from keyturn.device.core.errors import MembershipError
from keyturn.device.core.signed_events import KEY_PACKAGES
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Refusal
from keyturn.mls import MlsError, read_key_package
from keyturn.proofs.nostr import open_event

if TYPE_CHECKING:
    from keyturn.mls import CommitReceived, Group, KeyPackageView, Member

_WARN_OPERATOR = "Warn the operator of the service before you rotate anything through this group."


def check_commit(commit: CommitReceived, before: Group, after: Group, *, service: str, key_package: object) -> None:
    """Raise `MembershipError` unless the group may accept a commit.

    `service` is the service's key (64 hex digits); `key_package` the key-package event that the log has beside it.
    """
    if commit.committer.identity.hex() != service and _changes_members(before, after, commit):
        raise MembershipError(
            "A member tried to change the members of the group. Only the service may: the change is refused.",
            _WARN_OPERATOR,
        )
    # RFC 9420 §5.3.1 leaves it to the application whether a new credential may succeed the old one. Here none may.
    if not commit.self_removed and _changes_identities(before, after, commit):
        raise MembershipError("A commit gives a member another identity or key: refused.", _WARN_OPERATOR)
    for member in commit.added:
        _check_new_member(member, commit, key_package)


def _changes_members(before: Group, after: Group, commit: CommitReceived) -> bool:
    return bool(commit.self_removed or commit.added or commit.removed or before.extensions != after.extensions)


def _changes_identities(before: Group, after: Group, commit: CommitReceived) -> bool:
    return _identities(before.members, commit.removed) != _identities(after.members, commit.added)


def _identities(members: tuple[Member, ...], without: tuple[Member, ...]) -> dict[int, tuple[bytes, bytes]]:
    excluded = {member.leaf_index for member in without}
    return {
        member.leaf_index: (member.identity, member.signature_key)
        for member in members
        if member.leaf_index not in excluded
    }


def _check_new_member(member: Member, commit: CommitReceived, key_package: object) -> None:
    try:
        event = open_event(key_package) if isinstance(key_package, dict) else None
        # No `now`: the service checked the lifetime when it added the member (RFC 9420 §7.3), maybe days ago.
        view = read_key_package(base64url_decode(event.content), now=None) if event else None
    except (Refusal, MlsError):
        event, view = None, None
    is_signed = event is not None and event.kind in KEY_PACKAGES and event.pubkey == member.identity.hex()
    # One key-package event proves one member: the service adds one member in each commit.
    if view is None or not is_signed or not _is_leaf_of(view, member) or len(commit.added) != 1:
        raise MembershipError("A member was added that did not sign for it: refused.", _WARN_OPERATOR)


def _is_leaf_of(key_package: KeyPackageView, member: Member) -> bool:
    pairs = (
        (key_package.identity, member.identity),
        (key_package.signature_key, member.signature_key),
        (key_package.encryption_key, member.encryption_key),
    )
    return all(hmac.compare_digest(in_key_package, in_leaf) for in_key_package, in_leaf in pairs)
