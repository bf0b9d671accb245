"""The suite's doors in memory, behind the device's HTTP port, with a real MLS member as the service."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from keyturn.device.api.client import HttpRequest, HttpResponse
from keyturn.domain.encodings import base64url_decode, base64url_encode, to_milliseconds, ulid
from keyturn.domain.errors import Refusal
from keyturn.mls import (
    ApplicationReceived,
    CommitReceived,
    Group,
    MlsError,
    WrongEpoch,
    create_key_package,
    read_key_package,
)
from keyturn.proofs.nip98 import check_authorization
from keyturn.proofs.nostr import Event, canonical, open_event, parse_event, public_key, sign_event
from keyturn.proofs.npub import encode_npub
from keyturn.proofs.receipts import AckStatement, receipt_key, verify_receipt

from tests.cli.fake_desk import Desk, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

URL = "http://127.0.0.1:8787"
TOKEN = "operator-token"
START = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
DAY = 86_400_000


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def advance(self, **parts: float) -> None:
        self.time += timedelta(**parts)


@dataclass
class FakeGroup:
    """A group as the service has it, and its log."""

    mls: Group
    log: list[dict[str, Any]] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeServer:
    """Answers calls; `calls` are those that came, `down` the number of times that nobody will answer."""

    clock: Clock
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    rotations: dict[str, dict[str, Any]] = field(default_factory=dict)
    invites: dict[str, tuple[str, str]] = field(default_factory=dict)
    enrolled: dict[str, tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    commands: list[Event] = field(default_factory=list)
    calls: list[HttpRequest] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    lose_answers: int = 0
    override: HttpResponse | None = None
    page_size: int = 100
    awaits_second_person: bool = False
    welcome_key: bytes | None = None
    welcome_group: str | None = None
    welcome_after: str | None = None
    closed: set[str] = field(default_factory=set)
    envelopes: list[str] = field(default_factory=list)
    """All that came as kind 445, as it came."""
    before_envelope: list[Callable[[], None]] = field(default_factory=list)
    """What happens, once, between two devices' sending and the server's looking."""
    readmits: bool = True
    refuse: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Clients that no rotation is opened for: error and reason."""
    canceled: list[str] = field(default_factory=list)
    desk: Desk = field(init=False)
    """Registers admins and proves them, once `desk.required` is set."""

    def __post_init__(self) -> None:
        self.desk = Desk(self.clock.now, self.invites)

    def send(self, call: HttpRequest) -> HttpResponse:
        self.calls.append(call)
        if self.override is not None:
            return self.override
        try:
            fields = self._route(call, urlsplit(call.url).path.split("/")[1:])
        except Problem as problem:
            return HttpResponse(problem.status, {"retry-after": "30"}, json.dumps(problem.fields).encode())
        except Refusal as refusal:
            fields = {
                "status": refusal.status,
                "error": refusal.error,
                "reason": refusal.reason,
                "detail": str(refusal),
            }
            return HttpResponse(refusal.status, {}, json.dumps(fields).encode())
        if self.lose_answers:
            self.lose_answers -= 1
            return self.lost
        if fields.get("accepted") is False:
            return HttpResponse(401, {}, json.dumps(fields).encode())
        return HttpResponse(200, {}, json.dumps(fields).encode())

    @property
    def lost(self) -> HttpResponse:
        return HttpResponse(503, {}, b'{"error": "unavailable", "reason": "lost", "detail": "Lost."}')

    # --- doors

    def _route(self, call: HttpRequest, path: list[str]) -> dict[str, Any]:  # noqa: PLR0911 - a row a door
        match [call.method, *path]:
            case ["POST", "rotate_request", ""]:
                return self._envelope(call.body or b"")
            case ["POST", "enrol", ""]:
                return self._enrol(json.loads(call.body or b""))
            case ["POST", "admin_proof" | "enrol" as door, *rest]:
                return self.desk.answer(call, door, rest)
            case ["GET", "status", kind, *rest]:
                return self._status(call, kind, rest)
            case ["POST", "client_token", "check"]:
                return self._check(call.headers["X-Client-Id"], call.headers["X-API-Key"])
            case ["POST", "grace_sweeper", ""]:
                self._operator_only(call)
                return {"settled": 2, "republished": 0}
            case [_, "operator", *rest]:
                self._operator_only(call)
                return self._operator(call, rest)
        raise Problem(404, "not_found", "no_door")

    def _operator_only(self, call: HttpRequest) -> None:
        if call.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Problem(401, "unauthorized_request", "no_token")

    def _operator(self, call: HttpRequest, path: list[str]) -> dict[str, Any]:  # noqa: PLR0911 - a row a request
        fields = json.loads(call.body) if call.body else {}
        match [call.method, *path]:
            case [_, "groups", *rest]:
                return self._operator_group([call.method, *rest], fields)
            case ["POST", "clients"]:
                self.add_client(fields["client_id"], fields["groups"], fields["kind"], **fields["policy"])
                return self.set_terms(fields["client_id"], fields)
            case ["POST", "clients", client_id, "tokens"]:
                return self.set_terms(client_id, fields)
            case ["GET", "clients"]:
                return self._list(parse_qs(urlsplit(call.url).query).get("after", [""])[0])
            case ["GET", "clients", client_id]:
                return self._client(client_id)
            case ["POST", "id_tokens"]:
                return {"id_token": self.desk.id_token(fields["user"]), "expires_at": 0}
            case [_, "admins", *rest]:
                return self.desk.operate(rest)
            case ["POST", "invites"]:
                code = self.invite(fields["user"], fields["group_id"])
                until = to_milliseconds(self.clock.now()) + DAY
                names = ("user", "group_id", "purpose")
                invite = hashlib.sha256(code.encode()).hexdigest()
                self.desk.purposes[invite] = fields["purpose"]
                if fields.get("revoke"):
                    gone = {"devices": fields["revoke"], "canceled": [], "received": ["acme"]}
                    return {"code": code, **fields, "invite": "", "needed": 0, "expires_at": until, "revoked": gone}
                approvals = {"invite": invite, "approvals": 0, "needed": self.desk.needed}
                return {"code": code, **{name: fields[name] for name in names}, "expires_at": until, **approvals}
        raise Problem(404, "not_found", "nothing_here")

    def _operator_group(self, path: list[str], fields: dict[str, Any]) -> dict[str, Any]:
        match path:
            case ["POST"]:
                self.create_group(fields["group_id"])
                return self.group_view(fields["group_id"])
            case ["GET", group_id]:
                return self.group_view(group_id)
            case ["POST", group_id, "remove"]:
                return self._remove_user(group_id, fields["user"])
        raise Problem(404, "not_found", "nothing_here")

    def _status(self, call: HttpRequest, kind: str, rest: list[str]) -> dict[str, Any]:
        header = call.headers["Authorization"]
        npub = check_authorization(header, url=call.url, method="GET", body=None, now=self.clock.now()).pubkey
        match [kind, *rest]:
            case ["clients", client_id]:
                return self._client(client_id)
            case ["rotations", rotation_id] if "rotations" not in self.closed:
                return self._rotation(rotation_id)
            case ["groups", group_id] if group_id not in self.closed:
                self._members_only(group_id, npub)
                return self.group_view(group_id)
            case ["groups", group_id, "messages"] if group_id not in self.closed:
                self._members_only(group_id, npub)
                after = int(parse_qs(urlsplit(call.url).query)["after"][0])
                later = [entry for entry in self.groups[group_id].log if entry["index"] > after]
                page = later[: self.page_size]
                return {"messages": page, "next": page[-1]["index"] if len(later) > len(page) else None}
        raise Problem(404, "not_found", "nothing_here")

    # --- groups

    def create_group(self, group_id: str) -> None:
        now = self.clock.now()
        own = create_key_package(
            bytes.fromhex(public_key(self.key)),
            os.urandom(32),
            not_before=now - timedelta(hours=1),
            not_after=now + timedelta(days=365),
            random=os.urandom,
        )
        self.groups[group_id] = FakeGroup(Group.create(group_id.encode(), own, random=os.urandom, now=now))

    def _members_only(self, group_id: str, npub: str) -> None:
        group = self.groups[group_id]
        if npub in group.absent:
            raise Problem(409, "conflict", "absent")
        if npub not in group.users:
            raise Problem(403, "unauthorized_request", "not_in_group")

    def group_view(self, group_id: str) -> dict[str, Any]:
        group = self.groups[group_id]
        leaves = {member.identity.hex(): member.leaf_index for member in group.mls.members}
        members, absent = (
            [
                {"user": user, "npub": pubkey, "leaf": leaves.get(pubkey, 0), "joined_at": to_milliseconds(START)}
                | {"updated_at": to_milliseconds(START), "seen_at": None}
                for pubkey, user in people.items()
            ]
            for people in (group.users, group.absent)
        )
        return {"group_id": group_id, "epoch": group.mls.epoch, "members": members, "absent": absent}

    def invite(self, user: str, group_id: str) -> str:
        code = "-" + base64.urlsafe_b64encode(os.urandom(9)).decode()  # base64url has dashes, and one may come first
        self.invites[code] = (user, group_id)
        return code

    def _enrol(self, body: dict[str, Any]) -> dict[str, Any]:
        event = open_event(body["event"])
        package = base64url_decode(event.content)
        code = body.get("code") or f"{body['group']} {event.pubkey} {hashlib.sha256(package).hexdigest()}"
        if code in self.enrolled:
            shown, answer = self.enrolled[code]
            if shown != package:
                raise Problem(409, "conflict", "invite_used", "The code was used already.")
            return answer
        user, group_id = self._place(body, event.pubkey)
        answer = {"user": user, "group": group_id, "event": self._admit(user, group_id, package, event)}
        self.enrolled[code] = (package, answer)
        return answer

    def _place(self, body: dict[str, Any], pubkey: str) -> tuple[str, str]:
        if "code" in body:
            if body["code"] not in self.invites:
                raise Problem(403, "unauthorized_request", "bad_invite", "The code is unknown, or its time is over.")
            return self.invites[body["code"]]
        if not self.readmits:
            raise Problem(503, "unavailable", "frozen")
        group = self.groups[body["group"]]
        user = group.users.get(pubkey) or group.absent.get(pubkey)
        if user is None:
            raise Problem(403, "unauthorized_request", "not_in_group")
        return user, body["group"]

    def _admit(self, user: str, group_id: str, package: bytes, event: Event) -> dict[str, Any]:
        group, now = self.groups[group_id], self.clock.now()
        assert read_key_package(package, now=now).identity.hex() == event.pubkey
        if event.pubkey in {member.identity.hex() for member in group.mls.members}:
            self.remove(group_id, event.pubkey)
        commit = group.mls.commit(random=os.urandom, now=now, add=[package])
        group.mls, group.users[event.pubkey] = commit.group, user
        group.absent.pop(event.pubkey, None)
        index = self.append(group_id, "commit", commit.message, joined=event)
        assert commit.welcome is not None
        tags = [
            ["h", self.welcome_group or group_id],
            ["after", f"{index:012}" if self.welcome_after is None else self.welcome_after],
        ]
        return self.sign(444, tags, commit.welcome, self.welcome_key).to_dict()

    def update(self, group_id: str) -> None:
        group = self.groups[group_id]
        commit = group.mls.commit(random=os.urandom, now=self.clock.now())
        group.mls = commit.group
        self.append(group_id, "commit", commit.message)

    def remove(self, group_id: str, pubkey: str, *, for_good: bool = True) -> None:
        group = self.groups[group_id]
        leaf = next(item.leaf_index for item in group.mls.members if item.identity.hex() == pubkey)
        commit = group.mls.commit(random=os.urandom, now=self.clock.now(), remove=[leaf])
        group.mls, user = commit.group, group.users.pop(pubkey)
        if not for_good:
            group.absent[pubkey] = user
        self.append(group_id, "commit", commit.message)

    def _remove_user(self, group_id: str, user: str) -> dict[str, Any]:
        gone = [pubkey for pubkey, name in self.groups[group_id].users.items() if name == user]
        if not gone:
            raise Problem(404, "not_found", "unknown_user", "The group has no such user.")
        for pubkey in gone:
            self.remove(group_id, pubkey)
        received = [name for name, client in self.clients.items() if group_id in client["groups"]]
        return {"devices": gone, "canceled": self.canceled, "received": received}

    def notify(self, group_id: str, notice: dict[str, Any]) -> None:
        group = self.groups[group_id]
        place = {"group": group_id, "epoch": group.mls.epoch}
        group.mls, message = group.mls.encrypt(json.dumps({**notice, **place}).encode(), random=os.urandom)
        self.append(group_id, "notice", message)

    def append(
        self, group_id: str, kind: str, message: bytes, key: bytes | None = None, joined: Event | None = None
    ) -> int:
        log = self.groups[group_id].log
        event = self.sign(445, [["h", group_id]], message, key)
        shown = {} if joined is None else {"joined": joined.to_dict()}
        log.append({"index": len(log) + 1, "kind": kind, "event": event.to_dict(), **shown})
        return len(log)

    def sign(self, kind: int, tags: Sequence[Sequence[str]], message: bytes, key: bytes | None = None) -> Event:
        at = int(self.clock.now().timestamp())
        content = base64url_encode(message)
        return sign_event(key or self.key, kind=kind, tags=tags, content=content, created_at=at, random=os.urandom)

    # --- clients and rotations

    def add_client(self, client_id: str, groups: list[str], kind: str = "x_api_key", **policy: int) -> dict[str, Any]:
        self.clients[client_id] = {
            "client_id": client_id,
            "kind": kind,
            "status": "active",
            "groups": groups,
            "quorum": policy.get("quorum", 1),
            "current_version": None,
            "previous_version": None,
            "versions": [],
            "active_rotation": None,
            "last_rotation": None,
            "tokens": {"audience": None, "scopes": [], "introspects": []},
            "policy": {
                "grace_seconds": policy.get("grace_seconds", 604_800),
                "minimum_not_before_seconds": 600,
                "minimum_interval_seconds": 3600,
                "last_promoted_at": None,
            },
        }
        return self._client(client_id)

    def set_terms(self, client_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        shown = self._client(client_id)["tokens"]
        shown.update({name: fields[name] for name in shown if name in fields})
        return self._client(client_id)

    def _client(self, client_id: str) -> dict[str, Any]:
        if client_id not in self.clients:
            raise Problem(404, "not_found", "no_client", "There is no such client.")
        return {**self.clients[client_id], "now": to_milliseconds(self.clock.now())}

    def _list(self, after: str) -> dict[str, Any]:
        names = [name for name in sorted(self.clients) if name > after]
        following = names[0] if len(names) > 1 else None
        return {"clients": [self.clients[name] for name in names[:1]], "next": following}

    def _rotation(self, rotation_id: str) -> dict[str, Any]:
        if rotation_id not in self.rotations:
            raise Problem(404, "not_found", "no_rotation", "There is no such rotation.")
        return self.rotations[rotation_id]

    def _envelope(self, body: bytes) -> dict[str, Any]:
        event = open_event(body)
        if event.kind != 445:
            return self._command(event)
        self.envelopes.append(body.decode())
        for happens in self.before_envelope[:1]:
            del self.before_envelope[0]
            happens()
        if event.id in self.answers:
            return self.answers[event.id]
        group_id = event.tag("h") or ""
        group, message = self.groups[group_id], base64url_decode(event.content)
        try:
            mls, received = group.mls.receive(message, now=self.clock.now())
        except WrongEpoch:
            raise Problem(409, "conflict", "stale_epoch") from None
        except MlsError:
            raise Problem(400, "invalid_request", "bad_message") from None
        if isinstance(received, CommitReceived):
            group.mls = mls
            index = self.append(group_id, "commit", message)
            self.answers[event.id] = {"group_id": group_id, "epoch": mls.epoch, "index": index}
            return self.answers[event.id]
        assert isinstance(received, ApplicationReceived)
        return self._said(group, mls, received)

    def _said(self, group: FakeGroup, mls: Group, received: ApplicationReceived) -> dict[str, Any]:
        unsigned = {"id": "0" * 64, "pubkey": received.sender.identity.hex(), "sig": "0" * 128}
        said = parse_event({**unsigned, **json.loads(received.plaintext)})
        before, group.mls = group.mls, mls
        try:
            return self._command(replace(said, id=hashlib.sha256(canonical(said)).hexdigest()))
        except Problem:
            group.mls = before
            raise

    def _command(self, event: Event) -> dict[str, Any]:
        if event.id not in self.answers:
            if abs(event.created_at - self.clock.now().timestamp()) > 120:
                raise Problem(400, "invalid_request", "stale_event")
            self.desk.check(event)
            self.commands.append(event)
            self.answers[event.id] = self._carry_out(event, json.loads(event.content))
        return self.answers[event.id]

    def _carry_out(self, event: Event, content: dict[str, Any]) -> dict[str, Any]:
        if event.kind == 40901 or content.get("action_type") == "emergency":
            return self._rotate(event, {**content, **content.get("params", {})})
        if event.kind == 40902:
            return self._acknowledge(event, content)
        client = self.clients[content["client_id"]]
        names = ("client_id", "status", "current_version", "previous_version")
        answer = {name: client[name] for name in names}
        waits = {"awaits_second_person": self.awaits_second_person, "effective_within_seconds": 5}
        return {**answer, "action": content["action_type"], **waits}

    def _rotate(self, event: Event, content: dict[str, Any]) -> dict[str, Any]:
        client = self.clients[content["client_id"]]
        if content["client_id"] in self.refuse:
            raise Problem(422, *self.refuse[content["client_id"]])
        if client["previous_version"] and not content.get("supersede"):
            raise Problem(409, "conflict", "grace_in_progress", "The previous version is still in grace.")
        now = to_milliseconds(self.clock.now())
        version_id, secret = ulid(self.clock.now(), os.urandom(10)), base64url_encode(os.urandom(32))
        not_before = content.get("not_before", now)
        notice = {
            "client_id": content["client_id"],
            "version_id": version_id,
            "secret": secret,
            "secret_hash": base64url_encode(hashlib.sha256(secret.encode()).digest()),
            "mac_key_ref": "mac/1",
            "not_before": not_before,
            "grace_until": not_before + content["grace_duration_ms"],
            "rotation_id": content["rotation_id"],
            "issued_at": now,
            "relay_msg_id": "m1",
        }
        self.secrets[content["rotation_id"]] = secret
        self.rotations[content["rotation_id"]] = {
            "rotation_id": content["rotation_id"],
            "client_id": content["client_id"],
            "phase": "distributed",
            "outcome": None,
            "reason": content["rotation_reason"],
            "requested_by": encode_npub(event.pubkey),
            "new_version": version_id,
            "old_version": client["current_version"],
            "quorum": client["quorum"],
            "acks": [],
            "secret_hash": notice["secret_hash"],
        }
        for group_id in client["groups"]:
            self.update(group_id)
            self.notify(group_id, notice)
        names = ("rotation_id", "client_id", "version_id", "not_before", "grace_until")
        return {**{name: notice[name] for name in names}, "quorum": client["quorum"]}

    def _acknowledge(self, event: Event, content: dict[str, Any]) -> dict[str, Any]:
        rotation = self._rotation(content["rotation_id"])
        receipt, _ = content.pop("receipt"), content.pop("jwt_proof", None)
        ack = AckStatement(**content)
        ids = {"client_id": ack.client_id, "version_id": ack.version_id, "rotation_id": ack.rotation_id}
        if ack.ack_by != event.pubkey or not verify_receipt(
            receipt_key(self.secrets[ack.rotation_id], **ids), receipt, ack
        ):
            raise Problem(403, "unauthorized_request", "bad_receipt")
        users = self.groups[self.clients[ack.client_id]["groups"][0]].users
        if rotation["outcome"] is not None:
            raise Problem(409, "conflict", "rotation_not_open", "The rotation is no longer open.")
        if users[event.pubkey] in {item["user"] for item in rotation["acks"]}:
            raise Problem(409, "conflict", "already_acknowledged", "This person has already acknowledged.")
        rotation["acks"].append({"user": users[event.pubkey], "npub": encode_npub(event.pubkey), "ack_at": ack.ack_at})
        if len(rotation["acks"]) >= rotation["quorum"]:
            self._promote(rotation)
        return {
            **ids,
            "acks": len(rotation["acks"]),
            "quorum": rotation["quorum"],
            "phase": rotation["phase"],
            "outcome": rotation["outcome"],
        }

    def _promote(self, rotation: dict[str, Any]) -> None:
        client = self.clients[rotation["client_id"]]
        rotation["phase"], rotation["outcome"] = "completed", "promoted"
        client["previous_version"], client["current_version"] = client["current_version"], rotation["new_version"]
        version = {"version_id": rotation["new_version"], "state": "current", "rotation_id": rotation["rotation_id"]}
        client["versions"].append(version)

    def _check(self, client_id: str, secret: str) -> dict[str, Any]:
        rotations = [item for item in self.rotations.values() if item["client_id"] == client_id]
        for rotation in rotations:
            if rotation["outcome"] == "promoted" and self.secrets[rotation["rotation_id"]] == secret:
                version = rotation["new_version"]
                window = {"not_after": None, "now": to_milliseconds(self.clock.now())}
                return {"accepted": True, "client_id": client_id, "version_id": version, "state": "current", **window}
        return {"accepted": False, "reason": "refused"}
