"""What the tables of requests are played on: two groups, a few clients in different states, and requests gone wrong."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.device.core.signed_events import EventSigner, key_package_event
from keyturn.mls import create_key_package
from keyturn.proofs.nip98 import sign_authorization
from keyturn.proofs.nostr import sign_event

from tests.world import CLIENT, GROUP, TOKEN, URL, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.proofs.nostr import Event

OTHER_GROUP = "another-team-entirely"
OTHER_CLIENT = "borealis-integrations"
FRESH_CLIENT = "cascade-integrations"
BODY_LIMIT = 256 * 1024


@dataclass(frozen=True)
class Request:
    """One HTTP request, ready to be sent."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Scene:
    """`CLIENT` has a current version and an open, distributed rotation; `OTHER_CLIENT` is dave's group's alone."""

    world: World
    open_rotation: str = ""
    other_rotation: str = ""
    current_version: str = ""
    invite: str = ""
    stranger: EventSigner = field(init=False)

    def __post_init__(self) -> None:
        world = self.world.found("alice", "bob", "carol")
        self.stranger = EventSigner(os.urandom(32), world.clock, os.urandom)
        assert world.operator("/groups", {"group_id": OTHER_GROUP}).status_code == 200
        world.join("dave", OTHER_GROUP)
        world.add_client(FRESH_CLIENT)
        world.add_client(OTHER_CLIENT, [OTHER_GROUP])
        world.issue("alice", "bob")
        self.current_version = world.document(f"oauth2_clients/{CLIENT}")["current_version"]
        self.open_rotation = self._open("alice", client_id=CLIENT)
        self.other_rotation = self._open("dave", client_id=OTHER_CLIENT, group=OTHER_GROUP)
        self.invite = world.invite("erin")
        self.used_invite = world.invite("frank")
        world.new_admin("frank").device.join(self.used_invite)

    def _open(self, user: str, **asked: object) -> str:
        event = self.world.admins[user].rotation(**asked)
        assert self.world.send(event).status_code == 200
        self.world.pump()
        return str(json.loads(event.content)["rotation_id"])

    def signer(self, user: str) -> EventSigner:
        return self.stranger if user == "stranger" else self.world.admins[user].signer

    # --- signed events gone wrong -------------------------------------------------------------------------------------

    def post(self, event: Event | bytes) -> Request:
        return Request("POST", "/rotate_request/", event if isinstance(event, bytes) else event.to_json().encode())

    def raw(self, **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        """Return a signed request whose wire object is changed afterwards; None drops a field."""
        fields = {**self.world.admins["alice"].rotation(client_id=FRESH_CLIENT).to_dict(), **changes}
        return self.post(json.dumps({name: value for name, value in fields.items() if value is not None}).encode())

    def rotation(self, **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        event = self.world.admins["alice"].rotation(client_id=FRESH_CLIENT)
        return self.post(self.resigned(event, **changes))

    def action(self, action_type: str, params: Mapping[str, object] | None = None, **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        event = self.world.admins["alice"].action(action_type, params, **changes.pop("event", {}))
        return self.post(self.resigned(event, **changes))

    def ack(self, by: str = "bob", **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        return self.post(self.resigned(self.world.admins[by].ack(self.open_rotation), by=by, **changes))

    def service_ack(self, by: str = "bob", **changes: object) -> Event:
        """Return the same acknowledgement as NIP-SERVICE has it (40911)."""
        fields = json.loads(self.world.admins[by].ack(self.open_rotation).content)
        about = {"action_type": "rotation", "action_id": fields["rotation_id"], "client_id": fields["client_id"]}
        said = {"profile": "nip-kr/0.1.0", "ack_by": fields["ack_by"], "ack_at": fields["ack_at"]}
        result = {name: fields[name] for name in ("version_id", "secret_hash", "mac_key_ref", "receipt")}
        content = {**about, **said, "result": result, **changes}
        tags = {"service": content["action_type"], "action": content["action_id"], "client": content["client_id"]}
        whole = {**tags, "profile": "nip-kr/0.1.0", "nip-service": "0.1.0"}
        return self.signer(by).sign(40911, [(name, str(value)) for name, value in whole.items()], json.dumps(content))

    def welcome_of(self, user: str) -> str:
        welcomes = [path for path in self.world.documents() if path.startswith("welcomes/")]
        npub = self.signer(user).public_key
        return next(path for path in welcomes if self.world.document(path)["npub"] == npub).removeprefix("welcomes/")

    def resigned(
        self,
        event: Event,
        *,
        by: str = "alice",
        kind: int | None = None,
        at: float = 0,
        both: Mapping[str, str] | None = None,
        content: Mapping[str, object] | str | None = None,
        tags: Mapping[str, str | None] | None = None,
        more_tags: tuple[tuple[str, ...], ...] = (),
    ) -> Event:
        """Return the event with changed content and tags (None drops), signed by a user `at` seconds from now."""
        named = {"client_id": "client", "mls_group": "mls", "rotation_id": "rotation", "rotation_reason": "reason"}
        twin = {named.get(name, name): value for name, value in (both or {}).items()}
        new_tags = {**{tag[0]: tag[1] for tag in event.tags}, **twin, **(tags or {})}
        text = content if isinstance(content, str) else _merged(event.content, {**(both or {}), **(content or {})})
        return sign_event(
            self.signer(by).private_key,
            kind=kind or event.kind,
            tags=[*((name, value) for name, value in new_tags.items() if value is not None), *more_tags],
            content=text,
            created_at=int((self.world.clock.now + timedelta(seconds=at)).timestamp()),
            random=os.urandom,
        )

    # --- the other functions ------------------------------------------------------------------------------------------

    def enrol(self, code: str | None = None, *, key: bytes | None = None, **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        own = key or os.urandom(32)
        signer = EventSigner(changes.pop("signed_by", own), self.world.clock, os.urandom)
        identity = EventSigner(own, self.world.clock, os.urandom).public_key
        event = key_package_event(signer, key_package(identity, self.world.clock.now))
        content = changes.pop("content", event.content)
        signed = sign_event(
            signer.private_key,
            kind=changes.pop("kind", event.kind),
            tags=changes.pop("tags", []),
            content=content,
            created_at=event.created_at + changes.pop("at", 0),
            random=os.urandom,
        )
        body = {"code": code or self.invite, "event": signed.to_dict(), **changes}
        return Request("POST", "/enrol/", json.dumps(body).encode())

    def enrol_body(self, **changes: object) -> Request:
        whole = {**json.loads(self.enrol().body), **changes}
        return Request("POST", "/enrol/", json.dumps(whole).encode())

    def operator(self, path: str, fields: object = None, token: str = TOKEN, method: str = "") -> Request:
        body = b"" if fields is None else json.dumps(fields).encode()
        return Request(
            method or ("POST" if body else "GET"), f"/operator{path}", body, {"Authorization": f"Bearer {token}"}
        )

    def client(self, **changes: Any) -> Request:  # noqa: ANN401 - what `resigned` or the event takes
        return self.operator("/clients", {"client_id": "delta-integrations", "groups": [GROUP], **changes})

    def status(self, path: str, by: str = "alice", *, signed: str = "", method: str = "GET", at: float = 0) -> Request:
        """Return a request at `status`, signed for a path, a method, and `at` seconds from now."""
        header = sign_authorization(
            self.signer(by).private_key,
            url=f"{URL}/status{signed or path}",
            method=method,
            body=None,
            now=self.world.clock.now + timedelta(seconds=at),
            random=os.urandom,
        )
        return Request("GET", f"/status{path}", b"", {"Authorization": header})

    def event(self, function: str, body: bytes = b"{}", **attributes: str) -> Request:
        given = {"specversion": "1.0", "id": "1", **attributes}
        headers = {"Authorization": f"Bearer {TOKEN}", **{f"ce-{name}": value for name, value in given.items()}}
        return Request("POST", f"/{function}/", body, headers)

    def message(self, **attributes: object) -> Request:
        return self.event("distribute", json.dumps({"message": {"attributes": attributes}}).encode())


def key_package(identity: str, now: datetime) -> bytes:
    own = bytes.fromhex(identity)
    begin, end = now - timedelta(hours=1), now + timedelta(days=30)
    return create_key_package(own, os.urandom(32), not_before=begin, not_after=end, random=os.urandom).key_package


def _merged(content: str, changes: Mapping[str, object]) -> str:
    try:
        fields = json.loads(content)
    except ValueError:
        return content
    return json.dumps({name: value for name, value in {**fields, **changes}.items() if value is not ...})
