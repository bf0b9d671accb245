"""An MLS group of the most devices, as large as the service's state of it can get."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keyturn.adapters.mls.groups import MOST_LEAF_BYTES
from keyturn.domain.encodings import base64url_encode
from keyturn.mls import Group, create_key_package
from keyturn.mls.past_epoch import MOST_KEPT
from keyturn.mls.secret_tree import APPLICATION, HANDSHAKE, MOST_SKIPPED, MOST_SKIPPED_IN_TREE, SecretTree
from keyturn.records.roster import MOST_DEVICES

from tests.mls.people import seeded

NOW = datetime(2026, 12, 1, tzinfo=UTC)
GROUP = b"g" * 128
PARENT_BYTES = 80
"""A parent node: a key, a hash and the lengths (RFC 9420 §7.1)."""
SEALING = 1024
"""What encryption adds at most."""
EVENT = {"id": "f" * 64, "pubkey": "f" * 64, "sig": "f" * 128, "kind": 445, "created_at": 10**10}


@functools.cache
def _grown() -> tuple[Group, bytes, bytes]:
    """Return the group with every ratchet and the most skipped keys in each kept epoch, a commit and the Welcome."""
    random = seeded()
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=90)
    own, *others = (
        create_key_package(b"%032d" % number, random(32), random=random, not_before=since, not_after=until)
        for number in range(MOST_DEVICES + 1)
    )
    group = Group.create(GROUP, own, random=random, now=NOW)
    made = group.commit(random=random, now=NOW, add=[package.message() for package in others])
    group, welcome, commit = made.group, made.welcome or b"", b""
    for _ in range(MOST_KEPT):
        group = Group(replace(group.state, secret_tree=with_all_ratchets(group.state.secret_tree)))
        made = group.commit(random=random, now=NOW)
        group, commit = made.group, made.message
    return Group(replace(group.state, secret_tree=with_all_ratchets(group.state.secret_tree))), commit, welcome


def with_all_ratchets(tree: SecretTree) -> SecretTree:
    """Return the tree after a message of every leaf, and after jumps that leave the most skipped keys."""
    for leaf in range(MOST_DEVICES + 1):
        jump = MOST_SKIPPED if leaf <= 2 * MOST_SKIPPED_IN_TREE // MOST_SKIPPED else 0
        tree, _ = tree.take(leaf, APPLICATION, jump)
        tree, _ = tree.take(leaf, HANDSHAKE, 0)
    return tree


def sealed_state() -> bytes:
    """Return as many bytes as the sealed state has, if every leaf is as large as a member may make it.

    After a path update of each member, no node above the leaves is blank (RFC 9420 §7.6).
    """
    group, _, _ = _grown()
    leaves = sum(MOST_LEAF_BYTES - group.leaf_bytes(member.leaf_index) for member in group.members)
    parents = len(group.members) * PARENT_BYTES
    return group.to_bytes() + bytes(leaves + parents + SEALING)


def stored_commit() -> str:
    """Return the event of a path update."""
    return _event(_grown()[1])


def welcome_event() -> str:
    """Return the event of the Welcome."""
    return _event(_grown()[2])


def _event(message: bytes) -> str:
    tags = [["h", GROUP.decode()], ["after", "0" * 12]]
    return json.dumps({**EVENT, "tags": tags, "content": base64url_encode(message)})
