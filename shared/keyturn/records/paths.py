"""Where documents live (protocol.md §3)."""

from __future__ import annotations

from typing import Final

CLIENTS: Final = "oauth2_clients"
ROTATIONS: Final = "oauth2_rotations"
GROUPS: Final = "mls_groups"
SERVICE: Final = "service/identity"
FROZEN: Final = "service/frozen"
"""There is such a document while nothing may be sent: the store is a copy, or was restored (use_cases/freeze.py)."""
DENIED: Final = "service/denied"
"""Who may do nothing; in control, and a copy in auth (use_cases/denials.py)."""
STOPPED: Final = "service/stopped"
"""There is such a document, in control and in auth, while the operator has stopped everything."""
ADMINS: Final = "service/admins"
"""Database auth: every admin's standing, in one document, which is written with each change of it."""
SALT: Final = "service/salt"
"""A random value under which callers' tags and canaries' nonces are made: it is in control, what they are in is not."""
HOUSEKEEPING: Final = "service/house"
"""When the house is to be kept the next time (use_cases/sweep.py)."""
MAINTENANCE: Final = "group_upkeep"
RELAY_OUTBOX: Final = "relay_outbox"


def client(client_id: str) -> str:
    """Return the path of a client."""
    return f"{CLIENTS}/{client_id}"


def version(client_id: str, version_id: str) -> str:
    """Return the path of a client's version."""
    return f"{CLIENTS}/{client_id}/secrets/{version_id}"


def audit_head(chain: str) -> str:
    """Return the path of the head of a chain that belongs to no client; a client's head is in its own document."""
    return f"audit_heads/{chain}"


def audit(chain: str) -> str:
    """Return the collection of a chain's entries; the chain is a client id or `_system`."""
    # No client id starts with an underscore (docs/protocol.md §2).
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
    """Return the path of a group's roster (a document needs an even number of segments)."""
    return f"{GROUPS}/{group_id}/roster/members"


def messages(group_id: str) -> str:
    """Return the collection of a group's message log."""
    return f"{GROUPS}/{group_id}/messages"


def message(group_id: str, index: int) -> str:
    """Return the path of one message of a group's log."""
    return f"{messages(group_id)}/{index:012d}"


def client_of_group(group_id: str, client_id: str) -> str:
    """Return the path that says that a group administers a client."""
    return f"{clients_of_group(group_id)}/{client_id}"


def clients_of_group(group_id: str) -> str:
    """Return the collection of what a group administers."""
    return f"{GROUPS}/{group_id}/clients"


def maintenance(group_id: str) -> str:
    """Return the path that says when a group's log and leaves are to be looked after."""
    return f"{MAINTENANCE}/{group_id}"


def device_activity(group_id: str, npub: str) -> str:
    """Return the path (database usage) that says when a device last fetched a group's log."""
    return f"group_seen/{group_id}/devices/{npub}"


def key_package(reference: str) -> str:
    """Return the path that says that a key package was used."""
    return f"key_packages/{reference}"


def welcome(reference: str) -> str:
    """Return the path of the Welcome that answers a key package."""
    return f"welcomes/{reference}"


def relay_post(event_id: str) -> str:
    """Return the path that says that an event is to be published at relays (use_cases/publish_log.py)."""
    return f"{RELAY_OUTBOX}/{event_id}"


def event(event_id: str) -> str:
    """Return the path of the result of a command, by its event."""
    return f"events/{event_id}"


def rate(user: str, shard: int) -> str:
    """Return the path of one shard of a person's recent requests (use_cases/limits.py)."""
    return f"rates/{user}-{shard}"


def invite(code_hash: str) -> str:
    """Return the path (database auth) of an invite, by the hash of its code."""
    return f"invites/{code_hash}"


def npub(npub: str) -> str:
    """Return the path (database auth) that says whose device a Nostr key was registered with."""
    return f"npubs/{npub}"


def suspension(user: str) -> str:
    """Return the path (database control) of somebody who is suspended or removed: no leaf for them meanwhile."""
    return f"admin_standing/{user}"
