"""Breaches planted among admins: each is named, and a healthy deployment has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from keyturn.adapters.mls.message_headers import read_head
from keyturn.ports.effects import Environment
from keyturn.ports.store import Delete, put
from keyturn.records import paths
from keyturn.use_cases.doctor.run_checks import RunChecks

from tests.functions.attested import admitted, body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.use_cases.doctor.run_checks import CheckResult

    from tests.world import World

pytestmark = pytest.mark.world(attested=True)


@pytest.fixture
def suspended(world: World) -> World:
    """Register two admins and suspend one of them."""
    alice = admitted(world, "alice")
    admitted(world, "bob", alice)
    assert body(world.operator("/admins/bob/suspend", {}))["status"] == "suspended"
    return world


def examine(world: World) -> CheckResult:
    suite = world.suite
    return RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head,
        environment=Environment(bytes, lambda _seconds: None),
    )()


def change(world: World, path: str, **changes: object) -> None:
    document = world.auth.inner.get([path])[path]
    whole: Any = {**(document.data or {}), **changes}
    world.auth.inner.commit([put(document, whole)])


def forget(world: World, path: str) -> None:
    version: Any = world.auth.inner.get([path])[path].version
    world.auth.inner.commit([Delete(path, version)])


def key_of(world: World, user: str) -> str:
    devices: Any = (world.auth.inner.get([f"admins/{user}"])[f"admins/{user}"].data or {})["devices"]
    return paths.npub(devices[0]["npub"])


def twice(world: World) -> None:
    devices: Any = (world.auth.inner.get(["admins/alice"])["admins/alice"].data or {})["devices"]
    change(world, "admins/alice", devices=[*devices, *devices])


PLANTED: Mapping[str, tuple[Callable[[World], None], str]] = {
    "a suspended admin's record is made active": (
        lambda world: change(world, "admins/bob", status="active"),
        "the directory and an admin's record disagree",
    ),
    "an identity is exchanged": (
        lambda world: change(world, "admins/alice", subject="mallory"),
        "the directory and an admin's record disagree",
    ),
    "a record is gone": (lambda world: forget(world, "admins/bob"), "the directory names an admin without a record"),
    "a key names another admin": (
        lambda world: change(world, key_of(world, "alice"), user="bob"),
        "a registered device's key does not name its admin",
    ),
    "a key leads nowhere": (
        lambda world: forget(world, key_of(world, "alice")),
        "a registered device's key does not name its admin",
    ),
    "a device is registered twice": (twice, "an admin has a device twice"),
    "a record has a field too many": (
        lambda world: change(world, "admins/alice", password="x"),
        "a document has a field that its kind does not have",
    ),
    "a record is none": (
        lambda world: change(world, "admins/alice", status=17),
        "an admin's record is malformed",
    ),
    "a record has a status of a newer release": (
        lambda world: change(world, "admins/alice", status="everything"),
        "a document has a value that this release does not know",
    ),
}


@pytest.mark.usefixtures("suspended")
def test_a_healthy_deployment_has_none_and_its_admins_are_counted(world: World) -> None:
    found = examine(world)
    assert found.breaches == ()
    assert (found.counts["admins"], found.counts["registered keys"], found.counts["admin registers"]) == (2, 2, 1)


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.usefixtures("suspended")
def test_a_breach_is_named(world: World, name: str) -> None:
    plant, sentence = PLANTED[name]
    plant(world)
    assert sentence in [breach.sentence for breach in examine(world).breaches]
    assert {breach.subject for breach in examine(world).breaches} == {"admins"}


@pytest.mark.world("alice")
def test_without_registered_admins_there_is_nothing_to_find(world: World) -> None:
    assert examine(world).breaches == ()
