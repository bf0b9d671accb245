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
    admin.device.catch_up()
    fields = event.to_dict()
    said = {name: fields[name] for name in ("kind", "created_at", "tags", "content")}
    _, message = admin.device.memberships()[0].group.encrypt(json.dumps(said).encode(), random=os.urandom)
    return message
