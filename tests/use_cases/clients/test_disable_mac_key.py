"""Rolling the MAC key touches no client; a version that a working secret names cannot be disabled."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.errors import Conflict, NotFound
from keyturn.ports.effects import Environment
from keyturn.ports.keys import KeyRefused
from keyturn.use_cases.clients.disable_mac_key import DisableMacKey, clients_by_key

from tests.adapters.google_kms.kms_scene import scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keyturn.ports.effects import Sleep
    from keyturn.ports.keys import KeyRing

    from tests.world import World

LAG_SECONDS = 70.0


@pytest.fixture(params=["local", "cloud"])
def key_store(request: pytest.FixtureRequest) -> str:
    """Keep the keys in a file, or in Cloud KMS's stand-in."""
    return str(request.param)


@pytest.fixture
def world(world: World, key_store: str, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        if key_store == "cloud":
            world.keys = cast("Any", stack.enter_context(scene(tmp_path)).keys)
            world.serve(world.policy)
        yield world.found("alice", "bob", policy={"quorum": 1})


def current(world: World) -> str:
    return world.suite.keys.mac.current()


def disabling(world: World, sleep: Sleep = lambda _seconds: None) -> DisableMacKey:
    ring: KeyRing = world.suite.keys
    return DisableMacKey(world.control, ring, Environment(os.urandom, sleep), LAG_SECONDS)


def refused(attempt: Callable[[], None]) -> str:
    with pytest.raises(Conflict) as conflict:
        attempt()
    return conflict.value.reason


def test_rolling_touches_no_document_and_no_secret(world: World) -> None:
    secret = world.issue("alice", "bob")
    before = world.documents()
    old = current(world)
    assert world.suite.keys.add_version("mac") == current(world) != old
    assert world.documents() == before
    assert world.check(secret)["accepted"]
    newer = world.issue("alice", "bob")
    assert world.check(newer)["accepted"]
    assert world.check(secret)["accepted"]
    assert clients_by_key(world.control) == {old: 1, current(world): 1}


def test_version_is_disabled_only_when_its_last_secret_has_ended(world: World) -> None:
    world.issue("alice", "bob")
    old = current(world)
    world.suite.keys.add_version("mac")
    assert refused(lambda: disabling(world)(old)) == "key_in_use"  # it is current
    newer = world.issue("alice", "bob")
    assert refused(lambda: disabling(world)(old)) == "key_in_use"  # it is in grace
    world.clock.advance(hours=2)
    world.sweep()
    disabling(world)(old)
    assert world.check(newer)["accepted"]
    with pytest.raises(KeyRefused):
        world.suite.keys.mac.sign(old, b"data")


def test_an_unacknowledged_secret_counts(world: World) -> None:
    old = current(world)
    world.issue("alice")
    world.suite.keys.add_version("mac")
    assert refused(lambda: disabling(world)(old)) == "key_in_use"


def test_version_that_new_secrets_use_is_refused(world: World) -> None:
    assert refused(lambda: disabling(world)(current(world))) == "key_in_use"
    assert world.suite.keys.mac.sign(current(world), b"data")


def test_secret_that_a_late_process_signs_meanwhile_is_seen(world: World) -> None:
    old = current(world)
    slept: list[float] = []

    def late(seconds: float) -> None:
        slept.append(seconds)
        world.suite.keys.mac.current = lambda: old  # type: ignore[method-assign]  # what a process behind a roll takes it for
        world.issue("alice", "bob")

    world.suite.keys.add_version("mac")
    assert refused(lambda: disabling(world, late)(old)) == "key_in_use"
    assert slept == [LAG_SECONDS]


@pytest.mark.parametrize("name", ["", "nothing", "local/mac/9", "local/seal/1"])
def test_name_of_no_mac_key_is_refused_without_repeating_it(world: World, name: str) -> None:
    with pytest.raises(NotFound) as missing:
        disabling(world)(name)
    assert not name or name not in missing.value.sentence
