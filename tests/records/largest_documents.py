"""The largest document of each kind that the bounds of the code allow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.adapters.attestation.security_key import MOST_ID_BYTES, MOST_KEY_BYTES
from keyturn.domain.client_access import MOST_SOURCES
from keyturn.domain.client_groups import MOST_GROUPS
from keyturn.domain.free_text import MAX_REASON
from keyturn.domain.lifecycle import MOST_APPROVALS
from keyturn.domain.policy import BOUNDS, SWITCHES
from keyturn.domain.proofs_policy import Missing
from keyturn.domain.request_fields import MAX_TEXT
from keyturn.domain.token_terms import MOST_NAMES
from keyturn.records.admin import MOST_DEVICES_OF_ADMIN
from keyturn.records.admin_directory import MOST_ADMINS
from keyturn.records.roster import MOST_BESIDE, MOST_DEVICES
from keyturn.records.schema import KINDS
from keyturn.records.usage import MAX_CALLERS, MAX_INSTANCES, USE_RETENTION
from keyturn.use_cases.admins.edit_denylist import MOST_DENIED
from keyturn.use_cases.client_repository import RETIRED_KEPT
from keyturn.use_cases.refusal_log import MOST_ENTRIES

from tests.records.large_group import sealed_state, stored_commit, welcome_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.store import Value
    from keyturn.records.schema import DocumentShape

ID = "i" * 128
"""The longest id (docs/protocol.md §2), longer than each key and hash."""
REASON = "\U0001f511" * MAX_REASON
AT = datetime(2026, 12, 1, tzinfo=UTC)
LONG_TEXT = "t" * MAX_TEXT
SIGNED_EVENT = "e" * 8192
"""A key package's event: a leaf, its signatures and their base64url."""
RELAYS = 20
_HOURS = int(USE_RETENTION.total_seconds()) // 3600
_COUNTS = " ".join(f"{482136 + hour}:{10**9}" for hour in range(_HOURS + 1))
_RUNS = " ".join(str(482136 + hour) for hour in range(0, _HOURS + 1, 2))
"""Every second hour: runs of one hour each, the longest text for a number of hours."""

_TEXTS: Mapping[str, Value] = {"reason": REASON, "rotation_reason": REASON, "because": REASON, "banner": REASON}


def of_shape(shape: DocumentShape, **given: Value) -> dict[str, Value]:
    """Return an object with every field of a shape: those `given`, and an id for every other one."""
    declared = {**shape.required, **shape.optional}
    assert given.keys() <= declared.keys()
    return {name: given[name] if name in given else _of_field(name, part) for name, part in declared.items()}


def _of_field(name: str, shape: DocumentShape | None) -> Value:
    if shape is None:
        return _TEXTS.get(name, ID)
    return max(shape.words, key=len) if shape.words else of_shape(shape)


def many(number: int, item: Value) -> list[Value]:
    """Return a list of `number` equal items: only their size counts here."""
    return [item] * number


_SHAPES = {kind.pattern: kind.shape for kind in KINDS}


def _nested(pattern: str, *names: str) -> DocumentShape:
    shape = _SHAPES[pattern]
    for name in names:
        part = {**shape.required, **shape.optional}[name]
        assert part is not None
        shape = part
    return shape


_CLIENT, _ROTATION, _ROSTER = (
    "oauth2_clients/{client}",
    "oauth2_rotations/{rotation}",
    "mls_groups/{group}/roster/members",
)
_INVITE, _EVENT, _USES, _REFUSALS = "invites/{code}", "events/{event}", "version_usage/{shard}", "refusals/{day_shard}"


def _live() -> Value:
    # In `live` a rotation has neither recipients nor acknowledgements (client_document.py).
    rotations = {
        name: of_shape(_nested(_CLIENT, "live", name), groups=many(MOST_GROUPS, ID), recipients=[], acks=[])
        for name in ("rotation", "last")
    }
    return of_shape(_nested(_CLIENT, "live"), **rotations)


def _client() -> Mapping[str, Value]:
    most_requests = BOUNDS["requests_per_hour_per_client"][1]
    scopes, audiences = many(MOST_NAMES, "s" * 64), many(MOST_NAMES, "a" * 256)
    tokens = of_shape(_nested(_CLIENT, "tokens"), audience="a" * 256, scopes=scopes, introspects=audiences)
    return {
        "admin_groups": many(MOST_GROUPS, ID),
        "policy": dict.fromkeys((*BOUNDS, *SWITCHES), 2**40),
        "tokens": tokens,
        "sources": many(MOST_SOURCES, "1111:2222:3333:4444::/64"),
        "recent_requests": many(most_requests, AT),
        "approvals": many(MOST_APPROVALS, of_shape(_nested(_CLIENT, "approvals"))),
        "recently_retired": many(RETIRED_KEPT, ID),
        "live": _live(),
    }


_PEOPLE: Mapping[str, Mapping[str, Value]] = {
    "recipients": {"epoch": 1},
    "acks": {"ack_at": 1, "receipt": "r" * 86},
}


def _rotation() -> Mapping[str, Value]:
    # One full group. Several groups together are bounded by bytes: test_rotation_size.py.
    people = {
        name: many(MOST_DEVICES, of_shape(_nested(_ROTATION, name), npub="f" * 64, **extra))
        for name, extra in _PEOPLE.items()
    }
    return {**people, "groups": many(MOST_GROUPS, ID), "waiting_for": "+".join([ID] * MOST_GROUPS)}


def _roster() -> Mapping[str, Value]:
    keys: Mapping[str, Value] = {
        "npub": "f" * 64,
        "leaf": 1,
        "key_package_event": "f" * 64,
        "joined_at": AT,
        "updated_at": AT,
    }
    member = of_shape(_nested(_ROSTER, "members"), **keys)
    # Members and absent devices are bounded together.
    return {"members": many(MOST_DEVICES, member), "absent": [], "beside": many(MOST_BESIDE, ID)}


def _device_key(*place: str) -> Value:
    # Of all kinds of devices, security keys have the largest ids and keys. The id is in base64url.
    device_id, public_key = "d" * (4 * (MOST_ID_BYTES + 1) // 3), b"k" * MOST_KEY_BYTES
    key = of_shape(_nested(*place, "key"), device_id=device_id, public_key=public_key)
    return of_shape(_nested(*place), npub="f" * 64, key=key)


def _invite() -> Mapping[str, Value]:
    registration = of_shape(_nested(_INVITE, "registration"), device=_device_key(_INVITE, "registration", "device"))
    return {"approvals": many(MOST_ADMINS, of_shape(_nested(_INVITE, "approvals"))), "registration": registration}


def _answer() -> Value:
    # `client import` answers with the clients of one request, and a removal with the devices and clients of one act.
    return of_shape(_nested(_EVENT, "answer"), added=many(200, ID), devices=many(MOST_DEVICES, "f" * 64))


def _uses() -> Mapping[str, Value]:
    # One more than the bound: all further callers are counted together.
    callers = many(MAX_CALLERS + 1, of_shape(_nested(_USES, "callers"), hours=_RUNS))
    return {"hours": _COUNTS, "callers": callers}


def _refusals() -> Mapping[str, Value]:
    entry = of_shape(_nested(_REFUSALS, "entries"), missing=[item.value for item in Missing])
    return {"entries": many(MOST_ENTRIES, entry)}


GIVEN: Mapping[str, Mapping[str, Value]] = {
    _CLIENT: _client(),
    "oauth2_clients/{client}/secrets/{version}": {"secret_hash": "h" * 512},
    "oauth2_clients/{client}/audit/{seq}": {},
    "audit_heads/{chain}": {},
    "audit_heads/{chain}/audit/{seq}": {},
    _ROTATION: _rotation(),
    "mls_groups/{group}": {"sealed": sealed_state()},
    _ROSTER: _roster(),
    "mls_groups/{group}/messages/{index}": {"event": stored_commit(), "joined": SIGNED_EVENT},
    "mls_groups/{group}/clients/{client}": {},
    "group_upkeep/{group}": {},
    "group_seen/{group}/devices/{npub}": {},
    "relay_outbox/{event}": {"accepted": many(RELAYS, LONG_TEXT), "refused": many(RELAYS, LONG_TEXT)},
    "service/house": {},
    "service/frozen": {},
    "service/denied": {"users": many(MOST_DENIED, ID), "npubs": [], "clients": []},
    "service/stopped": {},
    "key_packages/{reference}": {"event": SIGNED_EVENT},
    "welcomes/{reference}": {"event": welcome_event()},
    _EVENT: {"answer": _answer()},
    "proofs/{jti}": {},
    "rates/{user_shard}": {"recent": many(BOUNDS["requests_per_hour_per_requester"][1], AT)},
    "service/identity": {"sealed": b"s" * MAX_TEXT},
    _INVITE: _invite(),
    "admins/{user}": {
        "devices": many(MOST_DEVICES_OF_ADMIN, _device_key("admins/{user}", "devices")),
        "totp_sealed": b"s" * 512,
    },
    "npubs/{npub}": {},
    "service/admins": {"admins": many(MOST_ADMINS, of_shape(_nested("service/admins", "admins")))},
    "admin_standing/{user}": {},
    "challenges/{nonce}": {},
    _REFUSALS: _refusals(),
    "service/salt": {},
    "honeytokens/{version}": {},
    _USES: _uses(),
    "client_failures/{shard}": {"hours": _COUNTS},
    "verifiers/{process}": {},
    "revoked_tokens/{token}": {},
    "canaries/{rotation}": {"instances": many(MAX_INSTANCES, ID)},
}
"""For each kind of document its fields that are not as short as an id."""
