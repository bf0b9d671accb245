"""What writes: for each use case, how a deployment is prepared for it, and the call itself."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import bcrypt
from keyturn.device.core.signed_events import key_package_event
from keyturn.ports.relay import PublishResult
from keyturn.proofs.canaries import Canary
from keyturn.records.invite import MAX_WRONG_CODES

from tests.functions.attested import Person, admitted, invite
from tests.functions.envelopes import envelope, inside
from tests.functions.scene import key_package
from tests.scenarios.outcome_world import Row
from tests.use_cases.clients.leak_requests import asked, the_version_of
from tests.use_cases.groups.answering_relays import Answering
from tests.use_cases.usage import canary_requests, secret_uses
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.test import TestResponse

    from tests.scenarios.outcome_world import Call, Prepare
    from tests.world import World

HASH = bcrypt.hashpw(b"integrator", bcrypt.gensalt(4)).decode()


# --- the operator -----------------------------------------------------------------------------------------------------


def operated(
    route: str, fields: Mapping[str, object], *before: tuple[str, Mapping[str, object]], path: str = ""
) -> Row:
    """Return the row of an operator's request, after others that prepare it."""

    def prepare(world: World) -> Call:
        for earlier, given in before:
            assert world.operator(earlier, given).status_code == 200
        return lambda: world.operator(path or route, fields)

    return Row(prepare, ("operator", "POST", route))


def of_admins(action: str, *before: str) -> Row:
    """Return the row of an act on alice, who is an attested admin beside bob and a recipient of a secret."""

    def prepare(world: World) -> Call:
        alice = admitted(world, "alice")
        admitted(world, "bob", alice)
        for earlier in before:
            assert world.operator(f"/admins/alice/{earlier}", {}).status_code == 200
        return lambda: world.operator(f"/admins/alice/{action}", {})

    return Row(prepare, ("operator", "POST", f"/admins/<user>/{action}"), attested=True)


def approved_return(world: World) -> Call:
    alice = admitted(world, "alice")
    admitted(world, "bob", alice)
    assert world.operator("/admins/bob/suspend", {}).status_code == 200
    awaited = (world.operator("/admins/bob/resume", {}).json or {})["awaits_approval"]
    assert alice.approve(awaited, "bob", "resume").status_code == 200
    return lambda: world.operator("/admins/bob/resume", {})


def replaced_phone(world: World) -> Call:
    alice = admitted(world, "alice")
    admitted(world, "bob", alice)
    fields = {"user": "alice", "group_id": GROUP, "purpose": "device", "revoke": [alice.npub]}
    return lambda: world.operator("/invites", fields)


def removed_recipient(world: World) -> Call:
    requested(world)
    world.pump()
    return lambda: world.operator(f"/groups/{GROUP}/remove", {"user": "alice"})


def leaked(state: str) -> Prepare:
    """Return what prepares the report of a leaked version in this state."""

    def prepare(world: World) -> Call:
        secret = world.issue("alice", "bob")
        if state == "grace":
            world.issue("alice", "bob")
        fields = asked(the_version_of(world, secret, f"client_id={CLIENT}"), secret, world)
        return lambda: world.operator("/leak/revoke", fields)

    return prepare


# --- admins' commands -------------------------------------------------------------------------------------------------


def requested(world: World) -> str:
    answer = world.send(world.admins["alice"].rotation())
    assert answer.status_code == 200, answer.text
    return str((answer.json or {})["rotation_id"])


def distributed(world: World) -> str:
    rotation_id = requested(world)
    world.pump()
    return rotation_id


def live(world: World) -> None:
    world.issue("alice", "bob")


def in_grace(world: World) -> None:
    live(world)
    live(world)


def rolled_back(world: World) -> None:
    in_grace(world)
    assert world.send(world.admins["bob"].action("rollback")).status_code == 200


def suspended(world: World) -> None:
    live(world)
    assert world.send(world.admins["bob"].action("suspend")).status_code == 200


def as_event(prepare: Callable[[World], object], action: str, **params: object) -> Row:
    def call(world: World) -> Call:
        made = prepare(world)
        event = world.admins["alice"].action(action, _filled(world, params, made))
        return lambda: world.send(event)

    return Row(call, ("rotate_request", "POST", "/"))


def as_envelope(prepare: Callable[[World], object], action: str, **params: object) -> Row:
    def call(world: World) -> Call:
        made = prepare(world)
        alice = world.admins["alice"]
        sent = envelope(world, inside(alice, alice.action(action, _filled(world, params, made))))
        return lambda: world.send(sent)

    return Row(call, ("rotate_request", "POST", "/"))


def _filled(world: World, params: Mapping[str, object], made: object) -> dict[str, object]:
    """Return params with the ids that they stand for."""
    client = world.document(f"oauth2_clients/{CLIENT}")
    ids = {"<made>": made, "<previous>": client["previous_version"]}
    return {name: ids.get(str(value), value) for name, value in params.items()}


ROTATION = {"rotation_reason": "because it is time", "grace_duration_ms": 3_600_000}
COMMANDS: dict[str, tuple[Callable[[World], object], str, dict[str, object]]] = {
    "rotation": (live, "rotation", ROTATION),
    "emergency": (distributed, "emergency", ROTATION),
    "cancel": (distributed, "cancel", {"rotation_id": "<made>"}),
    "rollback": (in_grace, "rollback", {}),
    "rollback, compromised": (in_grace, "rollback", {"compromised": True}),
    "restore": (rolled_back, "restore", {}),
    "retire": (in_grace, "retire", {"version_id": "<previous>"}),
    "revoke": (in_grace, "revoke", {"version_id": "<previous>"}),
    "revoke all": (live, "revoke", {"version_id": "all"}),
    "suspend": (live, "suspend", {}),
    "resume": (suspended, "resume", {}),
}
"""For each action of `rotate_request` what prepares it, and its parameters."""


def acknowledged(world: World) -> Call:
    event = world.admins["bob"].ack(distributed(world))
    return lambda: world.send(event)


def acknowledged_in_envelope(world: World) -> Call:
    bob = world.admins["bob"]
    event = bob.ack(distributed(world))
    sent = envelope(world, inside(bob, event))
    return lambda: world.send(sent)


def plain_request(world: World) -> Call:
    event = world.admins["alice"].rotation()
    return lambda: world.send(event)


def denied_admin(world: World) -> Call:
    assert world.operator("/denied", {"add": {"users": ["alice"]}, "reason": "left"}).status_code == 200
    event = world.admins["alice"].rotation()
    return lambda: world.send(event)


def forbidden_change(world: World) -> Call:
    """Send a member's commit that removes another member."""
    alice = world.admins["alice"]
    alice.device.catch_up()
    group = alice.device.memberships()[0].group
    others = [item.leaf_index for item in group.members if item.leaf_index != group.own_leaf_index]
    commit = group.commit(random=alice.signer.random, now=world.clock.now, remove=others[-1:])
    sent = envelope(world, commit.message)
    return lambda: world.send(sent)


def renewed_keys(world: World) -> Call:
    alice = world.admins["alice"]
    alice.device.catch_up()
    group = alice.device.memberships()[0].group
    commit = group.commit(random=alice.signer.random, now=world.clock.now, include_pending=False)
    sent = envelope(world, commit.message)
    return lambda: world.send(sent)


# --- events and time --------------------------------------------------------------------------------------------------


def distribute(world: World) -> Call:
    requested(world)
    return _delivery(world)


def distribute_batch(world: World) -> Call:
    for number in range(3):
        world.add_client(f"c-{number}")
        event = world.admins["alice"].rotation(client_id=f"c-{number}")
        assert world.send(event).status_code == 200
    return _delivery(world)


def distribute_to_relays(world: World) -> Call:
    world.serve(relays=Answering({"wss://near.example": PublishResult.ACCEPTED}))
    return distribute(world)


def _delivery(world: World) -> Call:
    while world.queue[0].function != "distribute":
        world.deliver(world.queue.popleft())
    item = world.queue.popleft()
    return lambda: world.deliver(item)


def settled(world: World) -> Call:
    distributed(world)
    world.clock.advance(days=2)
    return world.sweep


def aged(world: World) -> Call:
    """Let old messages, versions, activity and devices reach the ends of their retention."""
    in_grace(world)
    world.admins["alice"].device.catch_up()
    world.clock.advance(days=40)
    world.join("carol")
    world.admins["carol"].device.catch_up()
    return world.sweep


def much_aged(world: World) -> Call:
    in_grace(world)
    world.sweep()
    world.clock.advance(days=900)
    return world.sweep


def counted_canaries(world: World) -> Call:
    _prove_canary(world)()
    return world.sweep


def silent_secret(world: World) -> Call:
    _, new = secret_uses.begun(world, retire_early=True)
    secret_uses.moved(world, new, 5)
    world.clock.advance(hours=24)
    secret_uses.use(world, new)
    return world.sweep


def waiting_posts(world: World) -> Call:
    world.serve(
        relays=Answering({"wss://near.example": PublishResult.ACCEPTED, "wss://far.example": PublishResult.UNKNOWN})
    )
    world.join("carol")
    world.clock.advance(minutes=6)
    return world.sweep


def refused_posts(world: World) -> Call:
    world.serve(relays=Answering({"wss://near.example": PublishResult.REFUSED}))
    world.join("carol")
    world.clock.advance(minutes=6)
    return world.sweep


# --- enrolment and proofs ---------------------------------------------------------------------------------------------


def join(world: World) -> Call:
    carol, code = Person(world, "carol"), world.invite("carol")
    event = carol.offer()
    return lambda: carol.join(code, event)


def join_attested(world: World) -> Call:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    for step in (alice.register, alice.confirm):
        assert step(code).status_code == 200
    event = alice.offer()
    return lambda: alice.join(code, event)


def rejoin(world: World) -> Call:
    alice = admitted(world, "alice")
    assert world.operator("/admins/alice/suspend", {}).status_code == 200
    assert world.operator("/admins/alice/resume", {}).status_code == 200
    event = key_package_event(alice.signer, key_package(alice.npub, world.clock.now))
    alice.offer = lambda: event  # type: ignore[method-assign]  # made once
    return alice.come_back


def register(world: World) -> Call:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    fields = alice.registration(code)
    return lambda: alice.signed("/enrol/registration", fields)


def confirm(world: World) -> Call:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    assert alice.register(code).status_code == 200
    totp = alice.code()
    return lambda: alice.confirm(code, totp)


def confirm_with_last_wrong_code(world: World) -> Call:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    assert alice.register(code).status_code == 200
    for _ in range(MAX_WRONG_CODES - 1):
        assert alice.confirm(code, "000000").status_code == 401
    world.clock.advance(seconds=11)  # so that the refusal is recorded
    return lambda: alice.confirm(code, "000000")


def confirm_other_phone(world: World) -> Call:
    alice = admitted(world, "alice")
    made = invite(world, "alice", purpose="device")
    phone = alice.with_new_phone()
    assert phone.register(made["code"]).status_code == 200
    totp = alice.fresh_code()
    return lambda: phone.confirm(made["code"], totp)


def approve(world: World) -> Call:
    alice = admitted(world, "alice")
    event = alice.approval(invite(world, "bob")["invite"], "bob")
    return lambda: alice.send_approval(event)


def prove(world: World, totp: str = "") -> Call:
    alice = admitted(world, "alice")
    token, challenge, code = alice.id_token(), alice.challenge(), totp or alice.fresh_code()
    alice.id_token = lambda: token  # type: ignore[method-assign]  # drawn once
    alice.challenge, alice.fresh_code = lambda: challenge, lambda: code  # type: ignore[method-assign]  # as above
    return lambda: alice.prove("A" * 43)


# --- integrators and background ---------------------------------------------------------------------------------------


def _prove_canary(world: World) -> Call:
    rotation_id, version_id, secret = canary_requests.begun(world)
    canary = Canary(rotation_id, CLIENT, version_id, "pod-1", canary_requests.nonce(world))
    return lambda: canary_requests.answered(world, secret, canary)


def post_form(world: World, endpoint: str, secret: str, **fields: str) -> TestResponse:
    form = urlencode({"client_id": CLIENT, "client_secret": secret, **fields}).encode()
    return world.call("POST", f"/client_token/{endpoint}", form, {"Content-Type": "application/x-www-form-urlencoded"})


def revoked_token(world: World) -> Call:
    secret = world.issue("alice", "bob")
    token = (post_form(world, "token", secret, grant_type="client_credentials").json or {})["access_token"]
    return lambda: post_form(world, "revoke", secret, token=token)


def read_log(world: World) -> Call:
    alice = world.admins["alice"]
    world.clock.advance(days=2)
    return lambda: alice.device.context.api.messages(alice.signer, GROUP, 0)


def counted_uses(world: World) -> Call:
    secret = world.issue("alice", "bob")

    def call() -> object:
        world.check(secret)
        world.check("A" * 43)
        world.suite.verification.telemetry.flush()
        return None

    return call


def ended_process(world: World) -> Call:
    secret = world.issue("alice", "bob")

    def call() -> object:
        world.check(secret)
        world.suite.verification.telemetry.close()
        return None

    return call


def presented_retired_secret(world: World) -> Call:
    secret = world.issue("alice", "bob")
    world.issue("alice", "bob", grace_milliseconds=0)

    def call() -> object:
        world.check(secret)
        world.suite.verification.retired_secrets.turn()
        return None

    return call


def freeze(world: World) -> Call:
    return lambda: world.suite.freeze.freeze("copied")


def thaw(world: World) -> Call:
    live(world)
    world.suite.freeze.freeze("copied")
    return lambda: list(world.suite.freeze.thaw())
