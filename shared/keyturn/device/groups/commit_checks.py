"""Who is in a group: only the service changes that, and only by what the newcomer has signed.

1. A commit adds and removes only if the service made it; nobody's commit gives a member who stays another name or
   signature key (mls.md, "Traps"): both are refused, and the state stays as it was.
2. A commit that adds somebody comes with the key-package event that the newcomer signed. Its signer is the identity of
   the new leaf, and the leaf has the keys of that key package: the service can't seat a stranger under a known name.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from keyturn.device.core.errors import MembershipError
from keyturn.device.core.signed_events import KEY_PACKAGES
from keyturn.device.groups.incidents import Change
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Refusal
from keyturn.mls import MlsError, read_key_package
from keyturn.proofs.nostr import open_event

if TYPE_CHECKING:
    from keyturn.device.groups.membership import Seat
    from keyturn.mls import CommitReceived, Group, KeyPackageView, Member

_TELL = "Tell whoever operates the service, before anything is rotated through this group."


def checked_changes(seat: Seat, after: Group, commit: CommitReceived, joined: object, index: int) -> list[Change]:
    """Return who came and went by a commit; `joined` is the key-package event that the log shows with it.

    `MembershipError` if somebody else than the service changes members, or a newcomer did not sign for its leaf.
    """
    if commit.committer.identity.hex() != seat.service and _changes_members(seat.group, after, commit):
        raise MembershipError(
            "A member tried to change who is in the group. Only the service may: the change is refused.", _TELL
        )
    if not commit.self_removed and _renames(seat.group, after, commit):
        raise MembershipError("A commit gives a member another name or key: the change is refused.", _TELL)
    for member in commit.added:
        _check_newcomer(member, commit, joined)
    gone = [Change(seat.group_id, index, member.identity.hex(), joined=False) for member in commit.removed]
    come = [Change(seat.group_id, index, member.identity.hex(), joined=True) for member in commit.added]
    return gone + come


def _changes_members(before: Group, after: Group, commit: CommitReceived) -> bool:
    return bool(commit.self_removed or commit.added or commit.removed or before.extensions != after.extensions)


def _renames(before: Group, after: Group, commit: CommitReceived) -> bool:
    return _names(before.members, commit.removed) != _names(after.members, commit.added)


def _names(members: tuple[Member, ...], without: tuple[Member, ...]) -> dict[int, tuple[bytes, bytes]]:
    left_out = {member.leaf_index for member in without}
    return {
        member.leaf_index: (member.identity, member.signature_key)
        for member in members
        if member.leaf_index not in left_out
    }


def _check_newcomer(member: Member, commit: CommitReceived, joined: object) -> None:
    try:
        event = open_event(joined) if isinstance(joined, dict) else None
        offered = read_key_package(base64url_decode(event.content), now=None) if event else None
    except (Refusal, MlsError):
        event, offered = None, None
    signed = event is not None and event.kind in KEY_PACKAGES and event.pubkey == member.identity.hex()
    if offered is None or not signed or not _is_leaf_of(offered, member) or len(commit.added) != 1:
        raise MembershipError("Somebody was added to the group who did not sign for it: refused.", _TELL)


def _is_leaf_of(offered: KeyPackageView, member: Member) -> bool:
    pairs = (
        (offered.identity, member.identity),
        (offered.signature_key, member.signature_key),
        (offered.encryption_key, member.encryption_key),
    )
    return all(hmac.compare_digest(shown, seated) for shown, seated in pairs)
