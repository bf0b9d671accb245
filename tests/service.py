"""The real service as devices and the command line meet it in tests: every call reaches the functions of one `World`.

`Service` is a transport. It delivers what a call wakes, notes what came, and fails where a test tells it to: an answer
that is lost, a group that readmits no device, a log that was changed in the store.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pyotp
import pytest
from keyturn.adapters.mls.groups import MlsSession
from keyturn.device.api.client import HttpRequest, HttpResponse
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.domain.encodings import base64url_decode, base64url_encode
from keyturn.domain.policy import Policy
from keyturn.entry.config.proof_settings import ProofSettings
from keyturn.ports.effects import Environment
from keyturn.ports.store import Create, Delete, Replace
from keyturn.proofs.nostr import sign_event
from keyturn.records import paths
from keyturn.use_cases.commands.execute import AcceptEvent
from keyturn.use_cases.groups.freeze import Freeze
from keyturn.use_cases.groups.membership import Membership, open_membership

from tests.world import CHEAP, URL, Clock, World, WorldTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from keyturn.mls import Group
    from keyturn.ports.attestation import Attestation
    from keyturn.ports.store import Data, Document
    from keyturn.proofs.nostr import Event

ENVELOPE = 445
LOST = HttpResponse(503, {}, b'{"error": "unavailable", "reason": "lost", "detail": "Lost."}')
AT_ONCE = {"minimum_interval_seconds": 0}
"""The policy of a client that may be rotated as often as a test likes."""


def problem(status: int, error: str, reason: str, detail: str = "No.") -> HttpResponse:
    """Return a refusal (RFC 9457) that the real service does not give here."""
    fields = {"status": status, "error": error, "reason": reason, "detail": detail}
    return HttpResponse(status, {"retry-after": "30"}, json.dumps(fields).encode())


class Log:
    """A group's log as the store holds it. A test can change it, as an attacker with access to the store could."""

    def __init__(self, world: World, group_id: str) -> None:
        self._world = world
        self._group_id = group_id

    def _documents(self) -> Sequence[Document]:
        prefix = paths.messages(self._group_id) + "/"
        found = sorted(path for path in self._world.documents() if path.startswith(prefix))
        snapshot = self._world.control.inner.get(found)
        return [snapshot[path] for path in found]

    def __len__(self) -> int:
        return len(self._documents())

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return an entry as devices are shown it."""
        data = cast("Mapping[str, Any]", self._documents()[position].data)
        events = {name: json.loads(data[name]) for name in ("event", "joined") if data.get(name)}
        return {"index": data["index"], "kind": data["kind"], **events}

    def __setitem__(self, position: int, entry: Mapping[str, Any]) -> None:
        document = self._documents()[position]
        events = {name: json.dumps(entry[name]) for name in ("event", "joined") if name in entry}
        kept = {name: value for name, value in (document.data or {}).items() if name not in {"event", "joined"}}
        changed = {"event": "", **kept, **entry, **events}
        self._world.control.inner.commit([Replace(document.path, changed, cast("str", document.version))])

    def __delitem__(self, position: int) -> None:
        document = self._documents()[position]
        self._world.control.inner.commit([Delete(document.path, cast("str", document.version))])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[position] for position in range(len(self)))

    def append(self, event: Mapping[str, Any], kind: str) -> int:
        """Put an event at the end, in a place of its own, and leave the group's keys as they are."""
        path = paths.group(self._group_id)
        group = self._world.control.inner.get([path])[path]
        data = cast("Mapping[str, Any]", group.data)
        index = int(data["next_index"])
        entry: Data = {
            "index": index,
            "kind": kind,
            "event": json.dumps(event),
            "rotation_id": "",
            "at": self._world.clock(),
        }
        following = Replace(path, {**data, "next_index": index + 1}, cast("str", group.version))
        self._world.control.inner.commit([Create(paths.message(self._group_id, index), entry), following])
        return index


@dataclass(frozen=True)
class ServiceGroup:
    """One group from the service's side."""

    world: World
    group_id: str

    @property
    def mls(self) -> Group:
        """The service's own MLS state."""
        session = self.world.suite.groups.open(self.world.document(paths.group(self.group_id)), self.world.clock())
        return cast("MlsSession", session)._group

    @property
    def log(self) -> Log:
        return Log(self.world, self.group_id)

    @property
    def users(self) -> dict[str, str]:
        """The members: Nostr key → user."""
        return self._people("members")

    @property
    def absent(self) -> dict[str, str]:
        """The devices without a leaf that may come back: Nostr key → user."""
        return self._people("absent")

    def _people(self, name: str) -> dict[str, str]:
        roster = self.world.document(paths.roster(self.group_id))
        return {member["npub"]: member["user"] for member in roster[name]}


@dataclass
class Service:
    """A transport to the functions of one world."""

    world: World
    wire: WorldTransport = field(default_factory=WorldTransport)
    calls: list[HttpRequest] = field(default_factory=list)
    envelopes: list[str] = field(default_factory=list)
    """All events of kind 445, as they came."""
    commands: list[Event] = field(default_factory=list)
    """The commands that were accepted, out of their envelopes; each once."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """What the service encrypted to a group, by rotation: the plaintext is stored nowhere."""
    lose_answers: int = 0
    """So many answers get lost, after the service did what it was asked for."""
    override: HttpResponse | None = None
    """The one answer to everything."""
    closed: set[str] = field(default_factory=set)
    """Parts of paths for which nothing is found."""
    readmits: bool = True
    refuse_challenges: int = 0
    """So many challenges are refused, as if they were too old."""
    page_size: int = 100
    before_envelope: list[Callable[[], None]] = field(default_factory=list)
    """What happens, once each, between a device's sending and the service's looking."""
    rewrites: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """Part of a path → what is made of its answers on the way."""
    next_seed: bytes = field(default_factory=lambda: os.urandom(20))
    """That of the next authenticator: a test knows its first code before it is shown."""
    last_enrolment: dict[str, Any] = field(default_factory=dict, repr=False)
    """The last answer to an enrolment, on its way."""
    seeds: dict[str, str] = field(default_factory=dict, repr=False)
    """The authenticators' secrets (base32), by user."""

    def send(self, call: HttpRequest) -> HttpResponse:
        self.calls.append(call)
        if self.override is not None:
            return self.override
        if any(part in call.url for part in self.closed):
            return problem(404, "not_found", "nothing_here")
        body = json.loads(call.body) if call.body else {}
        if call.url.endswith("/enrol/") and "group" in body and not self.readmits:
            return problem(503, "unavailable", "frozen")
        if call.url.endswith("/rotate_request/") and body["kind"] == ENVELOPE:
            self.envelopes.append((call.body or b"").decode())
            for happens in self.before_envelope[:1]:
                del self.before_envelope[0]
                happens()
        if self.refuse_challenges and call.url.endswith("/admin_proof/proof"):
            self.refuse_challenges -= 1
            return problem(401, "unauthorized_request", "challenge_refused")
        answer = self._rewritten(call, self.wire.send(call))
        self.world.pump()
        if self.lose_answers:
            self.lose_answers -= 1
            return LOST
        return answer

    def _rewritten(self, call: HttpRequest, answer: HttpResponse) -> HttpResponse:
        if answer.status != 200:
            return answer
        fields = json.loads(answer.body)
        if call.url.endswith("/enrol/registration") and fields["totp"]:
            self.seeds[fields["user"]] = pyotp.parse_uri(fields["totp"]).secret
        if call.url.endswith("/enrol/"):
            self.last_enrolment = fields
        if "/messages?" in call.url and len(fields["messages"]) > self.page_size:
            page = fields["messages"][: self.page_size]
            fields |= {"messages": page, "next": page[-1]["index"]}
        for part, change in self.rewrites.items():
            fields = change(fields) if part in call.url else fields
        return HttpResponse(answer.status, answer.headers, json.dumps(fields).encode())

    def serve_at(self, url: str, attestations: Mapping[str, Attestation]) -> None:
        """Have the service reached at another address, where these kinds of devices count."""
        self.world.base_url = url
        settings = ProofSettings(identity="local_identity", attestations=tuple(attestations))
        self.world.serve(proof_settings=settings, attestations=attestations)

    # --- groups

    @property
    def groups(self) -> dict[str, ServiceGroup]:
        found = [path.split("/") for path in self.world.documents() if path.startswith("mls_groups/")]
        return {parts[1]: ServiceGroup(self.world, parts[1]) for parts in found if len(parts) == 2}

    def create_group(self, group_id: str) -> None:
        assert self.world.operator("/groups", {"group_id": group_id}).status_code == 200

    def invite(self, user: str, group_id: str, **fields: object) -> str:
        answer = self.world.operator("/invites", {"user": user, "group_id": group_id, **fields})
        assert answer.status_code == 200, answer.text
        return str(cast("Any", answer.json)["code"])

    def update(self, group_id: str) -> None:
        """Have the service replace its keys in a group."""
        log = self._membership(group_id).log
        log.append("commit", log.session.update())
        self.world.control.commit(log.writes())

    def remove(self, group_id: str, npub: str, *, for_good: bool = True) -> None:
        membership = self._membership(group_id)
        member = membership.roster.member(npub)
        assert member is not None
        membership.remove_device(member, "remove_user", "operator", for_good=for_good)
        membership.commit(self.world.control, "")

    def remove_leaf(self, group_id: str, npub: str) -> None:
        """Take a device's leaf out of a group, and leave it in the roster."""
        log = self._membership(group_id).log
        leaf = next(leaf for leaf in log.session.members if leaf.npub == npub)
        log.append("commit", log.session.remove(leaf.index))
        self.world.control.commit(log.writes())

    def create_groups_again(self) -> None:
        """Thaw the service after a restore: each group begins again, and its devices are absent."""
        freeze = Freeze(self.world.control, self.world.suite.groups, self.world.suite.environment)
        freeze.freeze("restored")
        freeze.thaw()

    def notify(self, group_id: str, notice: Mapping[str, Any]) -> None:
        """Have the service say something to a group as it says notices."""
        log = self._membership(group_id).log
        place = {"group": group_id, "epoch": log.session.epoch}
        log.append("notice", log.session.encrypt(json.dumps({**notice, **place}).encode()))
        self.world.control.commit(log.writes())

    def append(self, group_id: str, kind: str, message: bytes, key: bytes | None = None) -> int:
        """Put a message in a group's log that the service did not make, signed with its key or with another."""
        return Log(self.world, group_id).append(self.sign(ENVELOPE, [["h", group_id]], message, key).to_dict(), kind)

    def sign(self, kind: int, tags: Sequence[Sequence[str]], message: bytes, key: bytes | None = None) -> Event:
        own = cast("Any", self.world.suite.groups)._identity.private_key
        at, content = int(self.world.clock().timestamp()), base64url_encode(message)
        return sign_event(key or own, kind=kind, tags=tags, content=content, created_at=at, random=os.urandom)

    def send_welcome(self, *, key: bytes | None = None, group: str | None = None, after: str | None = None) -> None:
        """Change the group, the place in the log or the signer of the next Welcomes."""

        def changed(fields: dict[str, Any]) -> dict[str, Any]:
            tags = dict(fields["event"]["tags"]) | {"h": group} | {"after": after}
            kept = {
                **dict(fields["event"]["tags"]),
                **{name: value for name, value in tags.items() if value is not None},
            }
            content = base64url_decode(fields["event"]["content"])
            return {**fields, "event": self.sign(444, [list(tag) for tag in kept.items()], content, key).to_dict()}

        self.rewrites["/enrol/"] = changed

    def _membership(self, group_id: str) -> Membership:
        return open_membership(self.world.control, self.world.suite.groups, group_id)

    # --- clients and rotations

    def add_client(self, client_id: str, groups: Sequence[str], **policy: object) -> None:
        self.world.add_client(client_id, groups, kind="x_api_key", policy={**AT_ONCE, **policy})

    def set_policy(self, client_id: str, **policy: object) -> None:
        assert self.world.operator(f"/clients/{client_id}/policy", {"policy": policy}).status_code == 200

    def client(self, client_id: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.world.operator(f"/clients/{client_id}").json)

    def change(self, path: str, **changes: object) -> None:
        """Change a stored document as nothing but access to the store can."""
        document = self.world.control.inner.get([path])[path]
        changed = {**(document.data or {}), **cast("Any", changes)}
        self.world.control.inner.commit([Replace(path, changed, cast("str", document.version))])

    @property
    def rotations(self) -> dict[str, dict[str, Any]]:
        """All rotations as they are stored, by id."""
        names = [path for path in self.world.documents() if path.startswith("oauth2_rotations/")]
        return {name.rpartition("/")[2]: self.world.document(name) for name in names}

    # --- admins

    def require_proofs(self, *, required: bool) -> None:
        """Ask admins for proofs from now on, or stop asking."""
        self.world.attested = required
        self.world.serve()

    def id_token(self, user: str) -> str:
        return str(cast("Any", self.world.operator("/id_tokens", {"user": user}).json)["id_token"])

    def code(self, user: str) -> str:
        """Return what the user's authenticator shows now."""
        return self.code_of(base64.b32decode(self.seeds[user]) if user in self.seeds else self.next_seed)

    def code_of(self, seed: bytes) -> str:
        """Return what an authenticator with this seed shows now."""
        return pyotp.TOTP(base64.b32encode(seed).decode()).at(int(self.world.clock().timestamp()))

    def devices(self, user: str) -> list[dict[str, Any]]:
        """Return the registered devices of an admin: `npub` and `kind`."""
        admins = cast("Any", self.world.operator("/admins").json)["admins"]
        return next(list(admin["devices"]) for admin in admins if admin["user"] == user)

    @property
    def approvals(self) -> list[dict[str, Any]]:
        """The signed approvals that came."""
        bodies = [call.body or b"" for call in self.calls if call.url.endswith("/enrol/approvals")]
        return [json.loads(body)["event"] for body in bodies]

    @property
    def proof_requests(self) -> list[dict[str, Any]]:
        """What came to admin_proof/proof."""
        return [json.loads(call.body or b"") for call in self.calls if call.url.endswith("/admin_proof/proof")]

    @property
    def spent_proofs(self) -> int:
        """How many proofs were used up."""
        return len([path for path in self.world.documents() if path.startswith("proofs/")])


@pytest.fixture
def clock(world: World) -> Clock:
    return world.clock


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Serve group `ops` and its client `acme`, under the policy of a new deployment."""
    service = Service(world)
    accept, encrypt = AcceptEvent.accept, MlsSession.encrypt

    def noted_accept(self: AcceptEvent, event: Event, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as it was called
        answer = accept(self, event, *args, **named)
        if event.id not in {command.id for command in service.commands}:
            service.commands.append(event)
        return answer

    def noted_encrypt(self: MlsSession, plaintext: bytes) -> bytes:
        notice = json.loads(plaintext)
        service.secrets[notice.get("rotation_id")] = notice.get("secret")
        return encrypt(self, plaintext)

    monkeypatch.setattr(AcceptEvent, "accept", noted_accept)
    monkeypatch.setattr(MlsSession, "encrypt", noted_encrypt)
    random = lambda size: service.next_seed if size == len(service.next_seed) else os.urandom(size)  # noqa: E731 - short
    world.serve(Policy(), environment=Environment(random, lambda _seconds: None))
    service.create_group("ops")
    service.add_client("acme", ["ops"])
    return service


@pytest.fixture
def new_device(world: World, server: Service) -> Callable[[str], Device]:
    def make(name: str) -> Device:
        home = Home.create(world.folder / name, name, "passphrase", cost=CHEAP)
        return Device.open(home, URL, transport=server, now=world.clock, random=os.urandom, sleep=lambda _seconds: None)

    return make


@pytest.fixture
def alice(new_device: Callable[[str], Device], server: Service) -> Device:
    device = new_device("alice")
    device.join(server.invite("alice", "ops"))
    return device


@pytest.fixture
def bob(alice: Device, new_device: Callable[[str], Device], server: Service) -> Device:
    assert alice.memberships()
    device = new_device("bob")
    device.join(server.invite("bob", "ops"))
    return device
