"""The table of use cases that write, and of routes that do not (test_unknown_outcomes.py)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.scenarios.outcome_scenes import (
    COMMANDS,
    HASH,
    _prove_canary,
    acknowledged,
    acknowledged_in_envelope,
    aged,
    approve,
    approved_return,
    as_envelope,
    as_event,
    confirm,
    confirm_other_phone,
    confirm_with_last_wrong_code,
    counted_canaries,
    counted_uses,
    denied_admin,
    distribute,
    distribute_batch,
    distribute_to_relays,
    distributed,
    ended_process,
    forbidden_change,
    freeze,
    join,
    join_attested,
    leaked,
    much_aged,
    of_admins,
    operated,
    plain_request,
    post_form,
    presented_retired_secret,
    prove,
    read_log,
    refused_posts,
    register,
    rejoin,
    removed_recipient,
    renewed_keys,
    replaced_phone,
    requested,
    revoked_token,
    settled,
    silent_secret,
    thaw,
    waiting_posts,
)
from tests.scenarios.outcome_world import Row
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.scenarios.outcome_world import Call, Prepare, Route
    from tests.world import World

# --- the table --------------------------------------------------------------------------------------------------------

SWEEP = ("grace_sweeper", "POST", "/")
ENROL = ("enrol", "POST", "/")
CLIENT_TERMS = {"client_id": "new", "groups": [GROUP]}
ROWS: dict[str, Row] = {
    "client add": operated("/clients", CLIENT_TERMS),
    "client tokens": operated("/clients/<client_id>/tokens", {"scopes": ["read"]}, path=f"/clients/{CLIENT}/tokens"),
    "client access": operated(
        "/clients/<client_id>/access", {"sources": ["192.0.2.0/24"]}, path=f"/clients/{CLIENT}/access"
    ),
    "client import": operated("/imports", {"clients": [{"client_id": "old", "groups": [GROUP], "secret_hash": HASH}]}),
    "client policy": operated(
        "/clients/<client_id>/policy", {"policy": {"minimum_interval_seconds": 60}}, path=f"/clients/{CLIENT}/policy"
    ),
    "deny": operated("/denied", {"add": {"users": ["mallory"]}, "reason": "left"}),
    "stop": operated("/stop", {"reason": "an incident"}),
    "start": operated("/start", {"reason": "it is over"}, ("/stop", {"reason": "an incident"})),
    "first group": Row(
        lambda world: lambda: world.operator("/groups", {"group_id": GROUP}),
        ("operator", "POST", "/groups"),
        founded=False,
    ),
    "group create": operated("/groups", {"group_id": "new-group"}),
    "group remove": Row(removed_recipient, ("operator", "POST", "/groups/<group_id>/remove")),
    "invite": operated("/invites", {"user": "carol", "group_id": GROUP}),
    "invite another phone": Row(replaced_phone, ("operator", "POST", "/invites"), attested=True),
    "admin suspend": of_admins("suspend"),
    "admin resume": of_admins("resume", "suspend"),
    "admin resume, approved": Row(approved_return, ("operator", "POST", "/admins/<user>/resume"), attested=True),
    "admin remove": of_admins("remove"),
    "leak, current": Row(leaked("current"), ("operator", "POST", "/leak/revoke")),
    "leak, in grace": Row(leaked("grace"), ("operator", "POST", "/leak/revoke")),
    "request": Row(plain_request, ("rotate_request", "POST", "/")),
    "forbidden change": Row(forbidden_change, ("rotate_request", "POST", "/"), status=403),
    "refused request": Row(denied_admin, ("rotate_request", "POST", "/"), status=403),
    **{f"command {name}": as_event(prepare, action, **params) for name, (prepare, action, params) in COMMANDS.items()},
    # What carries a command is the same for all of them.
    **{
        f"envelope {name}": as_envelope(COMMANDS[name][0], name, **COMMANDS[name][2]) for name in ("rotation", "cancel")
    },
    "ack": Row(acknowledged, ("rotate_request", "POST", "/")),
    "ack in an envelope": Row(acknowledged_in_envelope, ("rotate_request", "POST", "/")),
    "renewed keys": Row(renewed_keys, ("rotate_request", "POST", "/")),
    "distribute": Row(distribute, ("distribute", "POST", "/")),
    "distribute a batch": Row(distribute_batch, ("distribute", "POST", "/")),
    "distribute to relays": Row(distribute_to_relays, ("distribute", "POST", "/")),
    "sweep, due clients": Row(settled, SWEEP),
    "sweep, old messages": Row(aged, SWEEP),
    "sweep, old documents": Row(much_aged, SWEEP),
    "sweep, canaries": Row(counted_canaries, SWEEP, founded=False),
    "sweep, silent secret": Row(silent_secret, SWEEP, founded=False),
    "sweep, waiting posts": Row(waiting_posts, SWEEP),
    "sweep, refused posts": Row(refused_posts, SWEEP),
    "join": Row(join, ENROL),
    "join, attested": Row(join_attested, ENROL, attested=True),
    "rejoin": Row(rejoin, ENROL, attested=True),
    "register": Row(register, ("enrol", "POST", "/registration"), attested=True),
    "confirm": Row(confirm, ("enrol", "POST", "/registration/confirm"), attested=True),
    "confirm, wrong code": Row(
        confirm_with_last_wrong_code, ("enrol", "POST", "/registration/confirm"), attested=True, status=401
    ),
    "confirm another phone": Row(confirm_other_phone, ("enrol", "POST", "/registration/confirm"), attested=True),
    "approve": Row(approve, ("enrol", "POST", "/approvals"), attested=True),
    "prove": Row(prove, ("admin_proof", "POST", "/proof"), attested=True),
    "prove, wrong code": Row(
        lambda world: prove(world, "000000"), ("admin_proof", "POST", "/proof"), attested=True, status=401
    ),
    "revoke a token": Row(revoked_token, ("client_token", "POST", "/revoke")),
    "canary": Row(_prove_canary, ("client_token", "POST", "/canary"), founded=False),
    "read the log": Row(read_log, ("status", "GET", "/groups/<group_id>/messages")),
    "counted uses": Row(counted_uses),
    "ended process": Row(ended_process),
    "retired secret": Row(presented_retired_secret),
    "freeze": Row(freeze),
    "thaw": Row(thaw),
}
"""Each route that writes has a row here, and each function of the package that commits (test_unknown_outcomes.py)."""


# --- what writes nothing ----------------------------------------------------------------------------------------------


def operator_get(path: str) -> Prepare:
    return lambda world: lambda: world.operator(path)


def operator_post(path: str, fields: Mapping[str, object]) -> Prepare:
    return lambda world: lambda: world.operator(path, fields)


def public(method: str, path: str, fields: Mapping[str, object] | None = None) -> Prepare:
    return lambda world: lambda: world.call(method, path, b"" if fields is None else json.dumps(fields).encode())


def signed_get(path: str) -> Prepare:
    """Return what prepares alice's request, after a rotation of hers, at a path with the ids that it stands for."""

    def prepare(world: World) -> Call:
        alice, rotation_id = world.admins["alice"], distributed(world)
        welcomes = [path for path in world.documents() if path.startswith("welcomes/")]
        own = next(path for path in welcomes if world.document(path)["npub"] == alice.signer.public_key)
        place = path.replace("<rotation>", rotation_id).replace("<welcome>", own.partition("/")[2])
        return lambda: alice.device.context.api.status(alice.signer, place)

    return prepare


def event_of_a_version(world: World) -> Call:
    requested(world)
    item = world.queue.popleft()
    return lambda: world.deliver(item)


def check(world: World) -> Call:
    secret = world.issue("alice", "bob")
    return lambda: world.check(secret)


def gate(world: World) -> Call:
    secret = world.issue("alice", "bob")
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret}
    return lambda: world.call("GET", "/client_token/check", b"", headers)


def issue_token(world: World) -> Call:
    secret = world.issue("alice", "bob")
    return lambda: post_form(world, "token", secret, grant_type="client_credentials")


def introspect_token(world: World) -> Call:
    secret = world.issue("alice", "bob")
    return lambda: post_form(world, "introspect", secret, token="a-token")


READS: dict[Route, Prepare] = {
    ("operator", "GET", "/clients"): operator_get("/clients"),
    ("operator", "GET", "/clients/<client_id>"): operator_get(f"/clients/{CLIENT}"),
    ("operator", "GET", "/clients/<client_id>/cutover"): operator_get(f"/clients/{CLIENT}/cutover"),
    ("operator", "POST", "/callers"): operator_post("/callers", {"address": "203.0.113.7"}),
    ("operator", "GET", "/versions"): operator_get("/versions"),
    ("operator", "GET", "/denied"): operator_get("/denied"),
    ("operator", "GET", "/stop"): operator_get("/stop"),
    ("operator", "GET", "/groups/<group_id>"): operator_get(f"/groups/{GROUP}"),
    ("operator", "GET", "/admins"): operator_get("/admins"),
    ("operator", "POST", "/id_tokens"): operator_post("/id_tokens", {"user": "alice"}),
    ("on_secret_version", "POST", "/"): event_of_a_version,
    ("admin_proof", "POST", "/challenge"): public("POST", "/admin_proof/challenge"),
    ("admin_proof", "GET", "/.well-known/jwks.json"): public("GET", "/admin_proof/.well-known/jwks.json"),
    ("client_token", "POST", "/token"): issue_token,
    ("client_token", "POST", "/check"): check,
    ("client_token", "GET", "/check"): gate,
    ("client_token", "POST", "/introspect"): introspect_token,
    ("client_token", "POST", "/canary/challenge"): public(
        "POST", "/client_token/canary/challenge", {"client_id": CLIENT}
    ),
    ("client_token", "GET", "/.well-known/oauth-authorization-server"): public(
        "GET", "/client_token/.well-known/oauth-authorization-server"
    ),
    ("client_token", "GET", "/.well-known/openid-configuration"): public(
        "GET", "/client_token/.well-known/openid-configuration"
    ),
    ("client_token", "GET", "/.well-known/jwks.json"): public("GET", "/client_token/.well-known/jwks.json"),
    ("status", "GET", "/openapi.json"): public("GET", "/status/openapi.json"),
    ("status", "GET", "/rotations/<key>"): signed_get("/rotations/<rotation>"),
    ("status", "GET", "/clients/<key>"): signed_get(f"/clients/{CLIENT}"),
    ("status", "GET", "/clients/<key>/cutover"): signed_get(f"/clients/{CLIENT}/cutover"),
    ("status", "GET", "/groups/<key>"): signed_get(f"/groups/{GROUP}"),
    ("status", "GET", "/welcomes/<key>"): signed_get("/welcomes/<welcome>"),
}
"""Routes that commit nothing. What they count is written in the background: see `counted uses`."""
