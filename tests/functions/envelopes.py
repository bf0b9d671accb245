"""Commands inside MLS: the encrypted message, and the kind 445 event around it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode
from keyturn.proofs.nostr import sign_event

from tests.world import GROUP, World

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import Admin


def envelope(world: World, content: bytes, group: str = GROUP) -> Event:
    """Put an MLSMessage in an envelope signed by a fresh key."""
    return sign_event(
        os.urandom(32),
        kind=445,
        tags=[["h", group]],
        content=base64url_encode(content),
        created_at=int(world.clock().timestamp()),
        random=os.urandom,
    )


def inside(admin: Admin, event: Event) -> bytes:
    """Say an event as a member says it: without its signature, encrypted to the group."""
    return many_inside(admin, event, 1)[0]


def many_inside(admin: Admin, event: Event, count: int) -> list[bytes]:
    """Say an event so many times, each time with the key of the next generation."""
    admin.device.catch_up()
    fields = event.to_dict()
    said = json.dumps({name: fields[name] for name in ("kind", "created_at", "tags", "content")}).encode()
    group, messages = admin.device.memberships()[0].group, []
    for _ in range(count):
        group, message = group.encrypt(said, random=os.urandom)
        messages.append(message)
    return messages
