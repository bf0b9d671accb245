"""Checking a credential: every state and window edge, and what an answer costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.encodings import new_secret
from keyturn.domain.errors import RateLimited
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.token_requests import GRANT, post
from tests.world import CLIENT

if TYPE_CHECKING:
    from keyturn.verifier.verdict import Verdict

    from tests.world import World

WRONG = new_secret(b"\x07" * 32)


class CountedMac:
    """A MAC key that counts, and may be out of reach."""

    def __init__(self, inner: object) -> None:
        self._inner = cast("Any", inner)
        self.verified = 0
        self.down = False

    def current(self) -> str:
        return str(self._inner.current())

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        return bytes(self._inner.sign(mac_key_ref, data))

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        self.verified += 1
        if self.down:
            raise KeyUnavailable
        return bool(self._inner.verify(mac_key_ref, data, tag))


@pytest.fixture
def mac(world: World) -> CountedMac:
    counted = CountedMac(world.keys.mac)
    world.serve(verifier=Verifier(world.control, counted, world.policy))
    return counted


def act(world: World, user: str, action: str, **params: object) -> None:
    assert world.send(world.admins[user].action(action, params)).status_code == 200


def cost(world: World, mac: CountedMac, secret: str, client_id: str = CLIENT) -> tuple[bool, int, list[str]]:
    """Return whether a secret is accepted, with how many MAC calls, and what was asked of the store."""
    world.control.calls.clear()
    mac.verified = 0
    accepted = world.check(secret, client_id)["accepted"]
    return accepted, mac.verified, world.control.calls


def test_a_right_secret_costs_one_read_and_one_mac(world: World, mac: CountedMac) -> None:
    secret = world.issue("alice", "bob")
    assert cost(world, mac, secret) == (True, 1, ["get"])
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    assert cost(world, mac, secret) == (True, 1, ["get"])


@pytest.mark.parametrize(
    "secret",
    [WRONG, "", "short", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "\u00e9", "-" * 43, "A" * 42 + " "],
)
def test_a_wrong_secret_costs_one_read_and_no_mac(world: World, mac: CountedMac, secret: str) -> None:
    world.issue("alice", "bob")
    assert cost(world, mac, secret) == (False, 0, ["get"])


@pytest.mark.parametrize(
    "client_id", ["nobody-knows-this", "", "_system", "a/b", "../x", "a" * 200, "key-integrations"]
)
def test_an_unknown_client_takes_the_same_path(world: World, mac: CountedMac, client_id: str) -> None:
    secret = world.issue("alice", "bob")
    assert cost(world, mac, secret, client_id) == (False, 0, ["get"])


def test_a_secret_with_one_character_changed_is_refused(world: World, mac: CountedMac) -> None:
    secret = world.issue("alice", "bob")
    for place in range(len(secret)):
        changed = secret[:place] + ("A" if secret[place] != "A" else "B") + secret[place + 1 :]
        assert cost(world, mac, changed)[:2] == (False, 0)


def test_a_secret_is_nobody_elses(world: World) -> None:
    world.add_client("other-integrations")
    mine = world.issue("alice", "bob")
    theirs = world.issue("alice", "bob", client_id="other-integrations")
    assert [world.check(mine, "other-integrations")["accepted"], world.check(theirs)["accepted"]] == [False, False]
    assert world.check(theirs, "other-integrations")["accepted"]


def test_the_previous_secret_is_accepted_until_its_end_and_never_after(world: World) -> None:
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    second = world.issue("alice", "bob")
    verdict = world.check(first)
    assert (verdict["state"], verdict["not_after"] - verdict["now"]) == ("grace", 3_600_000)
    world.clock.advance(minutes=59, seconds=59, microseconds=999_999)
    assert world.check(first)["accepted"]
    world.clock.advance(microseconds=1)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [False, True]
    world.sweep()
    assert not world.check(first)["accepted"]
    world.clock.advance(days=365)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [False, True]


def test_a_clock_that_is_set_back_refuses_no_live_version_and_no_token(world: World) -> None:
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    second = world.issue("alice", "bob")
    token = str(cast("Any", post(world, GRANT, (CLIENT, second)).json)["access_token"])
    for seconds in (-9 * 60, -30 * 24 * 3600):
        world.clock.advance(seconds=seconds)
        assert [world.check(secret)["state"] for secret in (first, second)] == ["grace", "current"]
        fresh = str(cast("Any", post(world, GRANT, (CLIENT, second)).json)["access_token"])
        checker = world.suite.verification.token_checker
        # An older token is refused once its start is further ahead than its lifetime of ten minutes.
        assert [checker.check(item).verdict.accepted for item in (token, fresh)] == [seconds == -9 * 60, True]


def test_a_scheduled_secret_is_accepted_from_its_start_with_no_sweeper_awake(world: World) -> None:
    first = world.issue("alice", "bob")
    second = world.issue("alice", "bob", not_before=world.milliseconds(hours=1))
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, False]
    world.clock.advance(hours=1, microseconds=-1)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, False]
    world.clock.advance(microseconds=1)
    assert [world.check(secret)["state"] for secret in (first, second)] == ["grace", "current"]
    assert world.document(f"oauth2_clients/{CLIENT}")["active_rotation"] is not None


def test_a_secret_that_nobody_acknowledged_is_never_accepted(world: World) -> None:
    rotation = world.send(world.admins["alice"].rotation())
    world.pump()
    secret = world.admins["bob"].secret(str(cast("Any", rotation.json)["rotation_id"]))
    for _turn in range(3):
        assert not world.check(secret)["accepted"]
        world.clock.advance(minutes=20)
    world.sweep()
    assert not world.check(secret)["accepted"]


def test_without_grace_the_old_secret_dies_when_the_new_one_starts(world: World) -> None:
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    second = world.issue("alice", "bob", grace_milliseconds=0)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [False, True]


def test_a_suspended_client_is_refused_like_a_wrong_secret(world: World, mac: CountedMac) -> None:
    secret = world.issue("alice", "bob")
    act(world, "alice", "suspend")
    assert cost(world, mac, secret) == (False, 0, ["get"])
    act(world, "bob", "resume")
    assert cost(world, mac, secret) == (True, 1, ["get"])


def test_a_revoked_client_is_refused_for_good(world: World, mac: CountedMac) -> None:
    secret = world.issue("alice", "bob")
    act(world, "alice", "revoke", version_id="all")
    assert cost(world, mac, secret) == (False, 0, ["get"])


def test_a_refusal_says_nothing_but_that(world: World) -> None:
    secret = world.issue("alice", "bob")
    answers = [
        world.call("POST", "/client_token/check", b"", {"X-Client-Id": client_id, "X-API-Key": key})
        for client_id, key in (
            (CLIENT, WRONG),
            ("nobody-knows-this", WRONG),
            (CLIENT, ""),
            ("key-integrations", secret),
        )
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (401, '{"accepted": false, "reason": "refused"}')
    }


def test_a_check_without_headers_is_refused(world: World) -> None:
    assert world.call("POST", "/client_token/check").status_code == 401


def test_a_key_or_store_out_of_reach_is_no_verdict(
    world: World, mac: CountedMac, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = world.issue("alice", "bob")
    mac.down = True
    headers = {"X-Client-Id": CLIENT, "X-API-Key": secret}
    answers = [world.call("POST", "/client_token/check", b"", headers)]

    def down(_paths: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(world.control, "get", down)
    answers.append(world.call("POST", "/client_token/check", b"", headers))

    assert [(answer.status_code, cast("Any", answer.json)["error"]) for answer in answers] == [(503, "unavailable")] * 2
    assert not [record for record in caplog.records if re.search(re.escape(secret), record.getMessage())]


def test_a_disabled_key_is_no_verdict(world: World) -> None:
    secret = world.issue("alice", "bob")
    world.keys.disable(world.keys.mac.current())
    answer = world.call("POST", "/client_token/check", b"", {"X-Client-Id": CLIENT, "X-API-Key": secret})
    assert answer.status_code == 503


def test_a_new_mac_key_verifies_what_the_old_one_made(world: World) -> None:
    first = world.issue("alice", "bob")
    world.keys.add_version("mac")
    world.clock.advance(hours=1)
    second = world.issue("alice", "bob")
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, True]
    live = world.document(f"oauth2_clients/{CLIENT}")["live"]
    refs = {live[name]["mac_key_ref"] for name in ("current", "previous")}
    assert refs == {"local/mac/1", "local/mac/2"}


def test_observers_are_told_of_every_check(world: World) -> None:
    told: list[tuple[bool, str, str, str]] = []
    verifier = Verifier(
        world.suite.databases.control,
        world.suite.keys.mac,
        world.suite.settings.policy,
        observers=[lambda *seen: told.append((seen[0].accepted, *seen[1:]))],
    )
    verifier.check("nobody", "x", caller="tag")
    assert told == [(False, "nobody", "x", "tag")]


def test_an_observer_that_fails_changes_no_verdict_and_its_error_is_in_no_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    secret = world.issue("alice", "bob")
    told: list[bool] = []

    def failing(verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        raise RuntimeError(f"{verdict} {client_id} {secret} {caller}")

    verifier = Verifier(
        world.suite.databases.control,
        world.suite.keys.mac,
        world.suite.settings.policy,
        observers=[failing, lambda *seen: told.append(seen[0].accepted)],
    )
    assert verifier.check(CLIENT, secret).accepted
    assert not verifier.check(CLIENT, "wrong").accepted
    assert told == [True, False]
    assert "an observer of checks failed: RuntimeError" in caplog.text
    assert secret not in caplog.text


def test_another_way_to_read_a_value_is_part_of_the_same_check(world: World) -> None:
    secret = world.issue("alice", "bob")
    limits = FailureLimits(lambda: 0.0, burst=2)
    verifier = Verifier(
        world.suite.databases.control, world.suite.keys.mac, world.suite.settings.policy, failure_limits=limits
    )
    assert verifier.check(CLIENT, "wrong", source="203.0.113.9", otherwise=secret).accepted
    for _ in range(2):
        assert not verifier.check(CLIENT, "wrong", source="203.0.113.9", otherwise="as wrong").accepted
    with pytest.raises(RateLimited):
        verifier.check(CLIENT, secret, source="203.0.113.9")


def test_where_no_thread_is_to_be_had_checks_read_for_themselves(world: World) -> None:
    secret = world.issue("alice", "bob")

    def background(_run: object) -> None:
        raise RuntimeError("can't start new thread")

    caching = Caching(background=background)
    verifier = Verifier(
        world.suite.databases.control, world.suite.keys.mac, world.suite.settings.policy, caching=caching
    )
    assert verifier.check(CLIENT, secret).accepted
    assert not verifier.check(CLIENT, "wrong").accepted
