"""Kinds of documents: every path in the databases, and exactly the fields that a document there has.

`keyturn doctor` reports every other field. A field that is not declared here was never reviewed, and might hold a
secret. Secrets are stored nowhere (docs/protocol.md §3).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from keyturn.domain.audit_chain import Head
from keyturn.domain.model import Client, Rotation, Version
from keyturn.domain.policy import BOUNDS, SWITCHES
from keyturn.records.admin import Admin
from keyturn.records.admin_directory import AdminDirectory
from keyturn.records.codec import UNREAD, optional_names
from keyturn.records.denylist import Denylists
from keyturn.records.invite import Invite
from keyturn.records.retired_use import RetiredUse
from keyturn.records.roster import Roster
from keyturn.records.usage import Canaries, ClientFailures, RevokedToken, VerifierLife, VersionUse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Data, Value


@dataclass(frozen=True, slots=True)
class DocumentShape:
    """The required and optional fields of an object. A field maps to the shape of its value, or to None for none.

    A text with a fixed set of values has the shape with these `words` and no fields.
    """

    required: Mapping[str, DocumentShape | None] = field(default_factory=dict)
    optional: Mapping[str, DocumentShape | None] = field(default_factory=dict)
    words: frozenset[str] = frozenset()

    def problems(self, data: Data) -> Iterator[str]:
        """Yield one sentence for each difference from this shape. Sentences quote no field name and no value."""
        declared = {**self.optional, **self.required}
        if not data.keys() <= declared.keys():
            yield "has a field that its kind does not have"
        if not self.required.keys() <= data.keys():
            yield "lacks a field that its kind has"
        for name, shape in declared.items():
            yield from _value_problems(shape, data.get(name))


def _value_problems(shape: DocumentShape | None, value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        if shape is None or shape.words:
            yield "has an object where its kind has none"
        else:
            yield from shape.problems(value)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            yield from _value_problems(shape, item)
    elif isinstance(value, str) and shape is not None and shape.words and value not in shape.words:
        yield "has a value that this release does not know"


def _plain(*names: str) -> dict[str, DocumentShape | None]:
    return dict.fromkeys(names)


@functools.cache
def shape_of(kind: type) -> DocumentShape:
    """Return the shape of an entity's document, from the annotations of its dataclass. Nested entities are objects."""
    shapes = {name: _hinted(hint) for name, hint in get_type_hints(kind).items() if name != UNREAD}
    optional = {name: shapes.pop(name) for name in optional_names(kind)}
    return DocumentShape(shapes, optional)


def _hinted(hint: Any) -> DocumentShape | None:  # noqa: ANN401 - a dataclass's annotation
    if isinstance(hint, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if get_origin(hint) is tuple:
        return _hinted(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return DocumentShape(optional=_plain(*BOUNDS, *SWITCHES))  # a client's policy: the only map of the model
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return DocumentShape(words=frozenset(hint))
    return shape_of(hint) if isinstance(hint, type) and is_dataclass(hint) else None


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """One kind of document: the pattern of its path (`{name}` is any one segment), its plural noun and its shape.

    No other document refers to a `standalone` one, so the doctor does not report it as unreachable.
    """

    pattern: str
    noun: str
    shape: DocumentShape
    standalone: bool = False

    def matches(self, path: str) -> bool:
        """Return whether a path is of this kind."""
        pattern, segments = self.pattern.split("/"), path.split("/")
        if len(pattern) != len(segments):
            return False
        return all(part.startswith("{") or part == segment for part, segment in zip(pattern, segments, strict=True))


_VERSION = DocumentShape(shape_of(Version).required, _plain("expires_at"))
_ROTATION = DocumentShape({**shape_of(Rotation).required, "waiting_for": None, "hint": None}, _plain("expires_at"))
_MESSAGE = DocumentShape(_plain("index", "kind", "event", "rotation_id", "at"), _plain("joined"))
_POST = DocumentShape(_plain("source", "at", "due_at", "attempts", "accepted", "refused", "dead"))
_LIVE = DocumentShape(
    {**dict.fromkeys(("current", "previous", "pending"), shape_of(Version)), "rotation": shape_of(Rotation)},
    {"last": shape_of(Rotation)},
)
_CLIENT = DocumentShape(
    {**shape_of(Client).required, "live": _LIVE, **_plain("next_due_at", "due_shard", "changed_at")},
    shape_of(Client).optional,
)
_IDS = DocumentShape(
    optional=_plain("client_id", "rotation_id", "version_id", "npub", "group_id", "user", "event_id", "invite")
)
_FACTS = DocumentShape(
    optional=_plain(
        *("status", "current", "previous", "pending", "phase", "epoch", "leaf"),
        *("audience", "scopes", "introspects"),
    )
)
_ENTRY = DocumentShape(
    {
        **_plain("seq", "prev", "at", "actor", "action", "reason", "hash"),
        "ids": _IDS,
        "before": _FACTS,
        "after": _FACTS,
    },
    _plain("banner"),
)
_ANSWER = DocumentShape(
    optional=_plain(
        *("client_id", "rotation_id", "version_id", "not_before", "grace_until", "quorum", "acks", "phase", "outcome"),
        *("action", "status", "current_version", "previous_version", "awaits_second_person"),
        *("effective_within_seconds", "group_id", "epoch", "index", "refused"),
        *("added", "devices", "canceled", "received"),  # acts of the operator (`use_cases.optimistic.Act`)
    )
)
# `act` is optional: a challenge that was used under an older release lacks it.
_CHALLENGE = DocumentShape(_plain("user", "expires_at"), _plain("act"))
_REFUSAL = DocumentShape(_plain("at", "door", "user", "npub", "client_id", "group", "missing"))
_REFUSALS = DocumentShape({"entries": _REFUSAL, "expires_at": None})

KINDS = (
    DocumentKind("oauth2_clients/{client}", "clients", _CLIENT),
    DocumentKind("oauth2_clients/{client}/secrets/{version}", "versions", _VERSION),
    DocumentKind("oauth2_clients/{client}/audit/{seq}", "audit entries", _ENTRY),
    DocumentKind("audit_heads/{chain}", "chain heads", shape_of(Head)),
    DocumentKind("audit_heads/{chain}/audit/{seq}", "audit entries", _ENTRY),
    DocumentKind("oauth2_rotations/{rotation}", "rotations", _ROTATION),
    DocumentKind(
        "mls_groups/{group}", "groups", DocumentShape(_plain("group_id", "epoch", "generation", "sealed", "next_index"))
    ),
    DocumentKind("mls_groups/{group}/roster/members", "rosters", shape_of(Roster)),
    DocumentKind("mls_groups/{group}/messages/{index}", "messages", _MESSAGE),
    DocumentKind(
        "mls_groups/{group}/clients/{client}", "group clients", DocumentShape(_plain("client_id")), standalone=True
    ),
    DocumentKind(
        "group_upkeep/{group}", "group maintenance times", DocumentShape(_plain("group_id", "due_at")), standalone=True
    ),
    DocumentKind(
        "group_seen/{group}/devices/{npub}", "device activity", DocumentShape(_plain("seen_at")), standalone=True
    ),
    DocumentKind("relay_outbox/{event}", "relay posts", _POST, standalone=True),
    DocumentKind("service/house", "housekeeping times", DocumentShape(_plain("due_at")), standalone=True),
    DocumentKind("service/frozen", "freeze markers", DocumentShape(_plain("since", "because")), standalone=True),
    DocumentKind("service/denied", "denylists", shape_of(Denylists), standalone=True),
    DocumentKind("service/stopped", "stop markers", DocumentShape(_plain("since", "reason")), standalone=True),
    DocumentKind("key_packages/{reference}", "key packages", DocumentShape(_plain("group_id", "npub", "event", "at"))),
    DocumentKind("welcomes/{reference}", "welcomes", DocumentShape(_plain("npub", "group_id", "event", "at"))),
    DocumentKind("events/{event}", "answers", DocumentShape({"answer": _ANSWER, "expires_at": None})),
    DocumentKind(
        "proofs/{jti}", "used proofs", DocumentShape(_plain("npub", "client_id", "at", "expires_at")), standalone=True
    ),
    DocumentKind("rates/{user_shard}", "rates", DocumentShape(_plain("recent", "expires_at"))),
    DocumentKind("service/identity", "service identities", DocumentShape(_plain("npub", "sealed"))),
    DocumentKind("invites/{code}", "invites", shape_of(Invite)),
    DocumentKind("admins/{user}", "admins", shape_of(Admin)),
    DocumentKind("npubs/{npub}", "registered keys", DocumentShape(_plain("user")), standalone=True),
    DocumentKind("service/admins", "admin registers", shape_of(AdminDirectory)),
    DocumentKind(
        "admin_standing/{user}", "suspensions", DocumentShape(_plain("user", "status", "at")), standalone=True
    ),
    DocumentKind("challenges/{nonce}", "used challenges", _CHALLENGE, standalone=True),
    DocumentKind("refusals/{day_shard}", "refusals", _REFUSALS, standalone=True),
    DocumentKind("service/salt", "salts", DocumentShape(_plain("salt")), standalone=True),
    DocumentKind("honeytokens/{version}", "uses of retired secrets", shape_of(RetiredUse), standalone=True),
    DocumentKind("version_usage/{shard}", "uses of versions", shape_of(VersionUse), standalone=True),
    DocumentKind("client_failures/{shard}", "refusals in transitions", shape_of(ClientFailures), standalone=True),
    DocumentKind("verifiers/{process}", "verifiers", shape_of(VerifierLife), standalone=True),
    DocumentKind("revoked_tokens/{token}", "revoked tokens", shape_of(RevokedToken), standalone=True),
    DocumentKind("canaries/{rotation}", "canaries", shape_of(Canaries), standalone=True),
)
"""Each path matches one kind at most."""


def kind_of(path: str) -> DocumentKind | None:
    """Return the kind of the documents at a path, or None if no kind is declared for it."""
    return next((kind for kind in KINDS if kind.matches(path)), None)
