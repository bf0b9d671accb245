"""Kinds of documents: every place in the databases, and exactly the fields that a document there has.

A field that stands here nowhere is one that nobody decided on: it could hold anything, a secret too (protocol.md §4,
invariant 6).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from keyturn.domain.audit_chain import Head
from keyturn.domain.model import Client, Rotation, Version
from keyturn.domain.policy import BOUNDS, SWITCHES
from keyturn.records.retired_use import RetiredUse
from keyturn.records.usage import Canaries, Failures, VerifierLife, VersionUse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Data, Value


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of an object: those that it must have and those that it may have; None where no object may be."""

    required: Mapping[str, Shape | None] = field(default_factory=dict)
    optional: Mapping[str, Shape | None] = field(default_factory=dict)

    def problems(self, data: Data) -> Iterator[str]:
        """Yield a sentence for each way in which an object is not of this shape; none names or quotes a field."""
        known = {**self.optional, **self.required}
        if not data.keys() <= known.keys():
            yield "has a field that its kind does not have"
        if not self.required.keys() <= data.keys():
            yield "lacks a field that its kind has"
        for name, shape in known.items():
            yield from _value_problems(shape, data.get(name))


def _value_problems(shape: Shape | None, value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        if shape is None:
            yield "has an object where its kind has none"
        else:
            yield from shape.problems(value)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            yield from _value_problems(shape, item)


def _plain(*names: str) -> dict[str, Shape | None]:
    return dict.fromkeys(names)


@functools.cache
def shape_of(kind: type) -> Shape:
    """Return the shape of an entity's document: its fields by name, nested entities within."""
    return Shape({name: _hinted(hint) for name, hint in get_type_hints(kind).items()})


def _hinted(hint: Any) -> Shape | None:  # noqa: ANN401 - a dataclass's annotation
    if isinstance(hint, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if get_origin(hint) is tuple:
        return _hinted(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return Shape(optional=_plain(*BOUNDS, *SWITCHES))  # a client's policy: the only map of the model
    return shape_of(hint) if isinstance(hint, type) and is_dataclass(hint) else None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document: where it lives (`{name}` is any one segment), what people call several, its shape.

    One that stands alone is led to by no other document.
    """

    pattern: str
    noun: str
    shape: Shape
    alone: bool = False

    def lives_at(self, path: str) -> bool:
        """Return whether a path is one of this kind."""
        want, have = self.pattern.split("/"), path.split("/")
        return len(want) == len(have) and all(w.startswith("{") or w == h for w, h in zip(want, have, strict=True))


_ROSTER_MEMBER = Shape(_plain("user", "npub", "leaf", "key_package_event", "joined_at", "updated_at"))
_VERSION = Shape(shape_of(Version).required, _plain("expires_at"))
_ROTATION = Shape({**shape_of(Rotation).required, "waiting_for": None, "hint": None}, _plain("expires_at"))
_ROSTER = Shape({"group_id": None, "members": _ROSTER_MEMBER, "absent": _ROSTER_MEMBER}, _plain("beside"))
_MESSAGE = Shape(_plain("index", "kind", "event", "rotation_id", "at"), _plain("joined"))
_POST = Shape(_plain("source", "at", "due_at", "attempts", "accepted", "refused", "dead"))
_LIVE = Shape(
    {**dict.fromkeys(("current", "previous", "pending"), shape_of(Version)), "rotation": shape_of(Rotation)},
    {"last": shape_of(Rotation)},
)
_CLIENT = Shape({**shape_of(Client).required, "live": _LIVE, **_plain("next_due_at", "due_shard", "changed_at")})
_IDS = Shape(
    optional=_plain("client_id", "rotation_id", "version_id", "npub", "group_id", "user", "event_id", "invite")
)
_FACTS = Shape(
    optional=_plain(
        *("status", "current", "previous", "pending", "phase", "epoch", "leaf"),
        *("audience", "scopes", "introspects"),
    )
)
_ENTRY = Shape(
    {
        **_plain("seq", "prev", "at", "actor", "action", "reason", "hash"),
        "ids": _IDS,
        "before": _FACTS,
        "after": _FACTS,
    },
    _plain("banner"),
)
_ANSWER = Shape(
    optional=_plain(
        *("client_id", "rotation_id", "version_id", "not_before", "grace_until", "quorum", "acks", "phase", "outcome"),
        *("action", "status", "current_version", "previous_version", "awaits_second_person"),
        *("effective_within_seconds", "group_id", "epoch", "index", "refused"),
    )
)
_DEVICE = Shape({"npub": None, "key": Shape(_plain("kind", "device_id", "public_key", "counter"))})
_ADMIN = Shape({
    **_plain("user", "subject", "status", "totp_sealed", "last_step", "failures", "locked_until"),
    "devices": _DEVICE,
})  # fmt: skip
_REGISTER = Shape({**_plain("first", "first_at"), "admins": Shape(_plain("user", "subject", "status"))})
_INVITE = Shape({
    **_plain("user", "group_id", "subject", "purpose", "needed", "created_at", "expires_at", "used_by", "tries"),
    "approvals": Shape(_plain("user", "at")),
    "registration": Shape({**_plain("totp_sealed", "confirmed_at"), "device": _DEVICE}),
}, _plain("removal"))  # fmt: skip
_REFUSAL = Shape(_plain("at", "door", "user", "npub", "client_id", "group", "missing"))
_REFUSALS = Shape({"entries": _REFUSAL, "expires_at": None})

KINDS = (
    Kind("oauth2_clients/{client}", "clients", _CLIENT),
    Kind("oauth2_clients/{client}/secrets/{version}", "versions", _VERSION),
    Kind("oauth2_clients/{client}/audit/{seq}", "audit entries", _ENTRY),
    Kind("audit_heads/{chain}", "chain heads", shape_of(Head)),
    Kind("audit_heads/{chain}/audit/{seq}", "audit entries", _ENTRY),
    Kind("oauth2_rotations/{rotation}", "rotations", _ROTATION),
    Kind("mls_groups/{group}", "groups", Shape(_plain("group_id", "epoch", "generation", "sealed", "next_index"))),
    Kind("mls_groups/{group}/roster/members", "rosters", _ROSTER),
    Kind("mls_groups/{group}/messages/{index}", "messages", _MESSAGE),
    Kind("mls_groups/{group}/clients/{client}", "administrations", Shape(_plain("client_id")), alone=True),
    Kind("group_upkeep/{group}", "upkeep", Shape(_plain("group_id", "due_at")), alone=True),
    Kind("group_seen/{group}/devices/{npub}", "sightings", Shape(_plain("seen_at")), alone=True),
    Kind("relay_outbox/{event}", "relay posts", _POST, alone=True),
    Kind("service/house", "housekeeping times", Shape(_plain("due_at")), alone=True),
    Kind("service/frozen", "freezes", Shape(_plain("since", "because")), alone=True),
    Kind("service/denied", "denylists", Shape(_plain("users", "npubs", "clients")), alone=True),
    Kind("service/stopped", "stops", Shape(_plain("since", "reason")), alone=True),
    Kind("key_packages/{reference}", "key packages", Shape(_plain("group_id", "npub", "event", "at"))),
    Kind("welcomes/{reference}", "welcomes", Shape(_plain("npub", "group_id", "event", "at"))),
    Kind("events/{event}", "answers", Shape({"answer": _ANSWER, "expires_at": None})),
    Kind("proofs/{jti}", "used proofs", Shape(_plain("npub", "client_id", "at", "expires_at")), alone=True),
    Kind("rates/{user_shard}", "rates", Shape(_plain("recent", "expires_at"))),
    Kind("service/identity", "service identities", Shape(_plain("npub", "sealed"))),
    Kind("invites/{code}", "invites", _INVITE),
    Kind("admins/{user}", "admins", _ADMIN),
    Kind("npubs/{npub}", "registered keys", Shape(_plain("user")), alone=True),
    Kind("service/admins", "admin registers", _REGISTER),
    Kind("admin_standing/{user}", "standings", Shape(_plain("user", "status", "at")), alone=True),
    Kind("challenges/{nonce}", "used challenges", Shape(_plain("user", "expires_at")), alone=True),
    Kind("refusals/{day_shard}", "refusals", _REFUSALS, alone=True),
    Kind("service/salt", "salts", Shape(_plain("salt")), alone=True),
    Kind("honeytokens/{version}", "uses of retired secrets", shape_of(RetiredUse), alone=True),
    Kind("version_usage/{shard}", "uses of versions", shape_of(VersionUse), alone=True),
    Kind("client_failures/{shard}", "refusals in transitions", shape_of(Failures), alone=True),
    Kind("verifiers/{process}", "verifiers", shape_of(VerifierLife), alone=True),
    Kind("canaries/{rotation}", "canaries", shape_of(Canaries), alone=True),
)
"""Each path matches one kind at most."""


def kind_of(path: str) -> Kind | None:
    """Return the kind of document that lives at a path, None where none does."""
    return next((kind for kind in KINDS if kind.lives_at(path)), None)
