"""MLS groups of any size for the MLS rows: the service creates them and adds all other members in one commit."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from keyturn.mls import Group, KeyPackageSecrets, create_key_package

LARGE = 200
"""Members of the large group, the service included."""
SMALL = 3
NOTICE = b"n" * 600
"""An application message of the size of a rotation's notice (docs/protocol.md §8, about 600 bytes)."""
NOW = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Room:
    """The service's view of a group after its own first path update, and the Welcome that founded it."""

    group: Group = field(repr=False)
    welcome: bytes = field(repr=False)


def newcomer(number: int) -> tuple[KeyPackageSecrets, bytes]:
    """Return a fresh member's key package with its secrets, and its signature seed (`bytes, 32`)."""
    seed = os.urandom(32)
    package = create_key_package(
        number.to_bytes(32, "big"),
        seed,
        not_before=NOW - timedelta(hours=1),
        not_after=NOW + timedelta(days=84),
        random=os.urandom,
    )
    return package, seed


@functools.cache
def room(members: int) -> Room:
    """Return a group of `size` members. It returns the same one each time, which is safe because a group is a value."""
    founder, _ = newcomer(0)
    founder_group = Group.create(b"bench", founder, random=os.urandom, now=NOW)
    others = [newcomer(number)[0].key_package for number in range(1, members)]
    full_group = founder_group.commit(random=os.urandom, now=NOW, add=others)
    return Room(full_group.group.commit(random=os.urandom, now=NOW).group, full_group.welcome or b"")


def notice_of(group: Group) -> bytes:
    """Return one notice, encrypted: an MLSMessage."""
    return group.encrypt(NOTICE, random=os.urandom)[1]


def update_of(group: Group) -> bytes:
    """Return a commit of a path update: an MLSMessage."""
    return group.commit(random=os.urandom, now=NOW).message
