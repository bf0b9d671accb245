"""Paths of documents and collections (docs/protocol.md §3).

Functions that name no database are about `control`.
"""

from __future__ import annotations

from typing import Final

CLIENTS: Final = "oauth2_clients"
ROTATIONS: Final = "oauth2_rotations"
GROUPS: Final = "mls_groups"
SERVICE: Final = "service/identity"
FROZEN: Final = "service/frozen"
"""Exists while nothing may be sent, because the store is a copy or was restored (`use_cases.groups.freeze`)."""
DENIED: Final = "service/denied"
"""The denylists in `control`, with a copy in `auth` (`use_cases.admins.edit_denylist`)."""
STOPPED: Final = "service/stopped"
"""Exists, in `control` and as a copy in `auth`, while the operator has stopped the suite."""
ADMINS: Final = "service/admins"
"""Database `auth`: the directory of admins (`records.admin_directory`)."""
SALT: Final = "service/salt"
"""A random key for the hashes of callers and canary instances. Those hashes are in `usage`, the key is not."""
HOUSEKEEPING: Final = "service/house"
"""When the next hourly maintenance is due (`use_cases.sweep.sweep`)."""
MAINTENANCE: Final = "group_upkeep"
RELAY_OUTBOX: Final = "relay_outbox"


def client(client_id: str) -> str:
    """Return the path of a client."""
    return f"{CLIENTS}/{client_id}"


def version(client_id: str, version_id: str) -> str:
    """Return the path of a client's version."""
    return f"{CLIENTS}/{client_id}/secrets/{version_id}"


def audit_head(chain: str) -> str:
    """Return the path of the head of a chain that belongs to no client. A client's head is in its own document."""
    return f"audit_heads/{chain}"


def audit(chain: str) -> str:
    """Return the collection of a chain's entries. The chain is a client id, `_system` or `_group:…`."""
    # Client ids never start with an underscore (docs/protocol.md §2), so the two families cannot collide.
    parent = audit_head(chain) if chain.startswith("_") else client(chain)
    return f"{parent}/audit"


def audit_entry(chain: str, seq: int) -> str:
    """Return the path of one audit entry."""
    return f"{audit(chain)}/{seq:012d}"


def rotation(rotation_id: str) -> str:
    """Return the path of a rotation."""
    return f"{ROTATIONS}/{rotation_id}"


def group(group_id: str) -> str:
    """Return the path of a group's sealed state."""
    return f"{GROUPS}/{group_id}"


def roster(group_id: str) -> str:
    """Return the path of a group's roster."""
    return f"{GROUPS}/{group_id}/roster/members"  # a document path needs an even number of segments


def messages(group_id: str) -> str:
    """Return the collection of a group's message log."""
    return f"{GROUPS}/{group_id}/messages"


def message(group_id: str, index: int) -> str:
    """Return the path of one message of a group's log."""
    return f"{messages(group_id)}/{index:012d}"


def client_of_group(group_id: str, client_id: str) -> str:
    """Return the path of the document that says that a group administers a client."""
    return f"{clients_of_group(group_id)}/{client_id}"


def clients_of_group(group_id: str) -> str:
    """Return the collection of the clients that a group administers."""
    return f"{GROUPS}/{group_id}/clients"


def maintenance(group_id: str) -> str:
    """Return the path of the document that says when a group's daily maintenance is due."""
    return f"{MAINTENANCE}/{group_id}"


def device_activity(group_id: str, npub: str) -> str:
    """Return the path (database `usage`) of the time at which a device last fetched a group's log."""
    return f"group_seen/{group_id}/devices/{npub}"


def key_package(reference: str) -> str:
    """Return the path of a used key package."""
    return f"key_packages/{reference}"


def welcome(reference: str) -> str:
    """Return the path of the Welcome that answers a key package."""
    return f"welcomes/{reference}"


def relay_post(event_id: str) -> str:
    """Return the path of an event that waits to be published at relays (`use_cases.groups.relay_outbox`)."""
    return f"{RELAY_OUTBOX}/{event_id}"


def event(event_id: str) -> str:
    """Return the path of a command's stored answer, by the id of its event."""
    return f"events/{event_id}"


def rate(user: str, shard: int) -> str:
    """Return the path of one shard of a person's recent requests (`use_cases.commands.requester_limits`)."""
    return f"rates/{user}-{shard}"


def invite(code_hash: str) -> str:
    """Return the path (database `auth`) of an invite, by the hash of its code."""
    return f"invites/{code_hash}"


def npub(npub: str) -> str:
    """Return the path (database `auth`) of the document that names the admin a Nostr key belongs to."""
    return f"npubs/{npub}"


def suspension(user: str) -> str:
    """Return the path of a suspended or removed admin. While it exists, that admin cannot join a group."""
    return f"admin_standing/{user}"
