"""Honeytokens: a retired secret raises an alarm, nobody who presents one can tell, and it costs what it may."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.encodings import new_secret
from keyturn.ports.store import LostRace, StoreUnavailable
from keyturn.proofs.receipts import receipt_key
from keyturn.records.retired_use import retired_use_path
from keyturn.verifier import matching, retired_secrets
from keyturn.verifier.retired_secrets import RetiredSecretDetector

from tests.world import CLIENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.world import World

WRONG = new_secret(b"\x07" * 32)


def turned(world: World, *, grace_milliseconds: int = 0) -> tuple[str, str, str]:
    """Return a retired secret, its version's id, and the secret that came after it."""
    first = world.issue("alice", "bob")
    version_id = str(world.check(first)["version_id"])
    world.clock.advance(minutes=1)
    second = world.issue("alice", "bob", grace_milliseconds=grace_milliseconds)
    return first, version_id, second


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if retired_secrets.PRESENTED in item.getMessage()]


def use(world: World, version_id: str) -> dict[str, Any]:
    path = retired_use_path(version_id)
    return dict(world.usage.inner.get([path])[path].data or {})


def test_a_retired_secret_raises_an_alarm_with_its_id(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, version_id, second = turned(world)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [False, True]
    world.suite.verification.retired_secrets.turn()
    assert alarms(caplog) == [f"{retired_secrets.PRESENTED}: version {version_id} of client {CLIENT} (superseded)"]
    assert use(world, version_id)["times"] == 1
    assert first.encode() not in world.dump()
    assert first not in caplog.text


def test_the_caller_is_answered_as_any_other_and_before_anything_was_tried(world: World) -> None:
    first, version_id, _second = turned(world)
    headers = [{"X-Client-Id": CLIENT, "X-API-Key": key} for key in (first, WRONG)]
    answers = [world.call("POST", "/client_token/check", b"", one) for one in headers]
    assert len({(answer.status_code, answer.text, tuple(answer.headers.keys())) for answer in answers}) == 1
    assert use(world, version_id) == {}


@pytest.mark.parametrize("secret", [WRONG, "short", "", "A" * 66, "A" * 42 + "!"])
def test_what_was_never_a_secret_raises_none(world: World, caplog: pytest.LogCaptureFixture, secret: str) -> None:
    turned(world)
    world.check(secret)
    world.suite.verification.retired_secrets.turn()
    assert alarms(caplog) == []


def test_what_verifies_and_what_is_in_grace_raises_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, _version_id, second = turned(world, grace_milliseconds=3_600_000)
    assert [world.check(secret)["accepted"] for secret in (first, second)] == [True, True]
    world.suite.verification.retired_secrets.turn()
    assert alarms(caplog) == []


def test_it_is_said_once_in_a_while_and_counted_each_time(world: World, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    first, version_id, _second = turned(world)
    observer = RetiredSecretDetector(world.control, world.usage, lambda: now[0], lambda _run: None)
    for _ in range(3):
        observer(world.suite.verification.verifier.check(CLIENT, first), CLIENT, first, "")
        observer.turn()
    assert (len(alarms(caplog)), use(world, version_id)["times"]) == (1, 3)
    now[0] += retired_secrets.QUIET_SECONDS
    observer(world.suite.verification.verifier.check(CLIENT, first), CLIENT, first, "")
    observer.turn()
    assert (len(alarms(caplog)), use(world, version_id)["times"]) == (2, 4)


def test_the_last_five_are_tried_and_no_more(world: World, caplog: pytest.LogCaptureFixture) -> None:
    secrets = []
    for _ in range(7):
        world.clock.advance(minutes=1)
        secrets.append(world.issue("alice", "bob", grace_milliseconds=0))
    for secret in secrets:
        world.check(secret)
        world.suite.verification.retired_secrets.turn()
    assert len(alarms(caplog)) == 5


def test_a_scannable_secret_raises_an_alarm_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.operator(f"/clients/{CLIENT}/policy", {"policy": {"scannable_secrets": True}})
    first, version_id, _second = turned(world)
    world.check(first)
    world.suite.verification.retired_secrets.turn()
    assert [version_id in line for line in alarms(caplog)] == [True]


@pytest.mark.parametrize("client_id", ["nobody-knows-this", "", "_system", "a/b", "\ud800", "key-integrations"])
def test_an_unknown_client_costs_the_same_derivations(
    world: World, monkeypatch: pytest.MonkeyPatch, client_id: str
) -> None:
    turned(world)
    counted: list[str] = []

    def counting_receipt_key(secret: str, **ids: str) -> bytes:
        counted.append(ids["client_id"])
        return receipt_key(secret, **ids)

    monkeypatch.setattr(matching, "receipt_key", counting_receipt_key)
    for name in (CLIENT, client_id):
        world.suite.verification.verifier.check(name, WRONG)
        counted.clear()
        world.suite.verification.retired_secrets.turn()
        assert len(counted) == retired_secrets.VERSIONS_TRIED


def test_a_flood_is_bounded_and_every_client_has_its_turn(world: World) -> None:
    observer = world.suite.verification.retired_secrets
    verdict = world.suite.verification.verifier.check("nobody", "x")
    for number in range(retired_secrets.MOST_CLIENTS + 10):
        for _ in range(retired_secrets.MOST_OF_CLIENT + 10):
            observer(verdict, f"client-{number}", WRONG, "")
    assert len(observer._waiting) == retired_secrets.MOST_CLIENTS
    assert {len(values) for values in observer._waiting.values()} == {retired_secrets.MOST_OF_CLIENT}
    taken = [name for name, _secret in observer._take_values()]
    assert taken == [f"client-{number}" for number in range(retired_secrets.PER_TURN)]
    assert next(name for name, _secret in observer._take_values()) == f"client-{retired_secrets.PER_TURN}"


def test_a_store_out_of_reach_costs_the_attempt_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _version_id, _second = turned(world)
    world.check(first)
    monkeypatch.setattr(world.control, "get", _down)
    world.suite.verification.retired_secrets.turn()
    assert alarms(caplog) == []
    assert first not in caplog.text


def test_a_lost_race_for_the_count_is_run_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, version_id, _second = turned(world)
    commit, lost = world.usage.commit, [1, 2]

    def racing(writes: Any, **given: Any) -> Any:  # noqa: ANN401 - the store's own signature
        if lost:
            lost.pop()
            raise LostRace
        return commit(writes, **given)

    world.check(first)
    monkeypatch.setattr(world.usage, "commit", racing)
    world.suite.verification.retired_secrets.turn()
    assert use(world, version_id)["times"] == 1


def test_one_thread_works_off_what_there_is_and_ends(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, _version_id, _second = turned(world)
    started: list[threading.Thread] = []

    def start(run: Callable[[], None]) -> None:
        started.append(threading.Thread(target=run, daemon=True))
        started[-1].start()

    observer = RetiredSecretDetector(
        world.control, world.usage, time.monotonic, start, lambda _seconds: time.sleep(0.01)
    )
    verdict = world.suite.verification.verifier.check(CLIENT, first)
    for _ in range(3):
        observer(verdict, CLIENT, first, "")
    started[0].join(10)
    assert (len(started), observer._running, len(alarms(caplog))) == (1, False, 1)
    observer(verdict, CLIENT, first, "")
    started[1].join(10)
    assert len(started) == 2


def test_the_suite_serves_its_verifier_with_it(world: World) -> None:
    assert world.suite.verification.retired_secrets in world.suite.verification.verifier._observers
    caught = logging.getLogger("keyturn")
    assert caught.isEnabledFor(logging.ERROR)


def _down(_paths: object) -> None:
    raise StoreUnavailable


def test_where_no_thread_is_to_be_had_the_next_refusal_asks_again(world: World) -> None:
    first, version_id, _second = turned(world)
    asked: list[Callable[[], None]] = []

    def background(run: Callable[[], None]) -> None:
        asked.append(run)
        if len(asked) == 1:
            raise RuntimeError("can't start new thread")

    watching = RetiredSecretDetector(world.control, world.usage, time.monotonic, background, lambda _seconds: None)
    refused = world.suite.verification.verifier.check(CLIENT, WRONG)
    with pytest.raises(RuntimeError):
        watching(refused, CLIENT, WRONG, "")
    watching(refused, CLIENT, first, "")
    asked[1]()
    assert use(world, version_id)["times"] == 1
