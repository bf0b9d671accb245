"""Each invariant, broken on purpose: `breaches` names it. What it cannot see, the machine could not find."""

from __future__ import annotations

import ast
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain import invariants
from keyturn.domain.invariants import breaches
from keyturn.domain.model import ClientState, ClientStatus, Outcome, Phase, RetiredBecause

from tests.domain.scene import STAGES, START, Scene, person, rotation_id, staged, version_id

if TYPE_CHECKING:
    from collections.abc import Callable

V1, V2, V9 = version_id(1), version_id(2), version_id(9)
R1, R2, R9 = rotation_id(1), rotation_id(2), rotation_id(9)


def _version(scene: Scene, number: int, **changes: Any) -> ClientState:  # noqa: ANN401 - a version's fields
    return scene.state.with_versions(replace(scene.version(number), **changes))


def _rotation(scene: Scene, number: int, **changes: Any) -> ClientState:  # noqa: ANN401 - a rotation's fields
    return scene.state.with_rotation(replace(scene.rotation(number), **changes))


def _client(scene: Scene, **changes: Any) -> ClientState:  # noqa: ANN401 - a client's fields
    return scene.state.with_client(**changes)


def _without_version(scene: Scene, number: int) -> ClientState:
    kept = {key: item for key, item in scene.state.versions.items() if key != version_id(number)}
    return replace(scene.state, versions=kept)


DAMAGE: dict[str, tuple[str, Callable[[Scene], ClientState], str]] = {
    "current missing": ("current", lambda s: _client(s, current_version=V9), "refers to a version that is missing"),
    "previous missing": ("current", lambda s: _client(s, previous_version=V9), "refers to a version that is missing"),
    "lock of a missing rotation": (
        "current",
        lambda s: _client(s, active_rotation=R9),
        "refers to a rotation that is missing",
    ),
    "last missing": ("current", lambda s: _client(s, last_rotation=R9), "refers to a rotation that is missing"),
    "pending missing": ("requested", lambda s: _without_version(s, 2), "a rotation's version is missing"),
    "two current": ("grace", lambda s: s.state.with_versions(s.version(1).make_current()), "that are current disagree"),
    "no current": ("current", lambda s: _client(s, current_version=None), "that are current disagree"),
    "two in grace": (
        "grace",
        lambda s: s.state.with_versions(s.version(2).put_in_grace(START)),
        "that are grace disagree",
    ),
    "grace not pointed to": ("grace", lambda s: _client(s, previous_version=None), "that are grace disagree"),
    "pending without its rotation": (
        "requested",
        lambda s: _client(s, active_rotation=None),
        "that are pending disagree",
    ),
    "one version in both places": ("grace", lambda s: _client(s, previous_version=V2), "that are grace disagree"),
    "grace without end": ("grace", lambda s: _version(s, 1, not_after=None), "in grace has no end"),
    "current with an end": ("current", lambda s: _version(s, 1, not_after=START), "current version has an end"),
    "active without current": (
        "current",
        lambda s: s.state.with_versions(s.version(1).retire(RetiredBecause.REVOKED)).with_client(current_version=None),
        "had a current version has none",
    ),
    "revoked and live": (
        "current",
        lambda s: _client(s, status=ClientStatus.REVOKED),
        "a revoked client has a live version",
    ),
    "revoked and rotating": (
        "requested",
        lambda s: _client(s, status=ClientStatus.REVOKED),
        "a revoked client has an open rotation",
    ),
    "grace alone": (
        "grace",
        lambda s: s.state.with_versions(s.version(2).retire(RetiredBecause.REVOKED)).with_client(
            current_version=None, status=ClientStatus.SUSPENDED
        ),
        "in grace beside no current",
    ),
    "no hash": ("current", lambda s: _version(s, 1, secret_hash=None), "no hash to verify against"),
    "no key": ("current", lambda s: _version(s, 1, mac_key_ref=None), "no hash to verify against"),
    "no hash of an import": (
        "current",
        lambda s: _version(s, 1, secret_hash=None, algo="bcrypt"),
        "no hash to verify against",
    ),
    "an import with a receipt key": (
        "current",
        lambda s: _version(s, 1, algo="bcrypt", mac_key_ref=None, rotation_id=""),
        "imported version has a rotation or keys of this service",
    ),
    "listed as retired": (
        "current",
        lambda s: _client(s, recently_retired=(V1,)),
        "a live version is listed as retired",
    ),
    "retired for nothing": (
        "emptied",
        lambda s: _version(s, 1, retired_because=None),
        "retired without a reason",
    ),
    "reason without retirement": (
        "current",
        lambda s: _version(s, 1, retired_because=RetiredBecause.EXPIRED),
        "retired without a reason",
    ),
    "open without the lock": (
        "requested",
        lambda s: _client(s, active_rotation=None),
        "the lock and the open rotations disagree",
    ),
    "the lock of what is over": (
        "current",
        lambda s: _client(s, active_rotation=R1),
        "the lock and the open rotations disagree",
    ),
    "over without an outcome": (
        "current",
        lambda s: _rotation(s, 1, outcome=None),
        "completed without an outcome",
    ),
    "outcome before the end": (
        "requested",
        lambda s: _rotation(s, 2, outcome=Outcome.CANCELED),
        "completed without an outcome",
    ),
    "one version of two rotations": (
        "grace",
        lambda s: _rotation(s, 2, new_version=V1),
        "two rotations created one version",
    ),
    "two versions of one rotation": (
        "grace",
        lambda s: _version(s, 2, rotation_id=R1),
        "one rotation created two versions",
    ),
    "no quorum": ("current", lambda s: _rotation(s, 1, acks=()), "promoted without its quorum"),
    "a larger quorum": ("current", lambda s: _rotation(s, 1, quorum=2), "promoted without its quorum"),
    "an ack of no recipient": ("current", lambda s: _rotation(s, 1, recipients=()), "promoted without its quorum"),
    "one key, two people": (
        "current",
        lambda s: _rotation(
            s,
            1,
            quorum=2,
            requested_by=person("di"),
            acks=(*s.rotation(1).acks, replace(s.rotation(1).acks[0], user="bo")),
        ),
        "promoted without its quorum",
    ),
    "no quorum, rolled back since": (
        "rolled back",
        lambda s: _rotation(s, 2, acks=()),
        "promoted without its quorum",
    ),
    "no canaries": ("current", lambda s: _rotation(s, 1, canaries_required=1), "promoted without its canaries"),
    "last never promoted": ("requested", lambda s: _client(s, last_rotation=R2), "last rotation was never promoted"),
    "live, never promoted": (
        "current",
        lambda s: _rotation(s, 1, outcome=Outcome.EXPIRED),
        "a live version was never promoted",
    ),
}


@pytest.mark.parametrize(("stage", "damage", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(stage: str, damage: Callable[[Scene], ClientState], expected: str) -> None:
    damaged = damage(staged(stage))
    assert any(expected in sentence for sentence in breaches(damaged))


@pytest.mark.parametrize("stage", STAGES)
def test_what_commands_lead_to_is_whole(stage: str) -> None:
    assert list(breaches(staged(stage).state)) == []


def test_an_imported_version_needs_no_rotation() -> None:
    scene = staged("current")
    hashed = _version(scene, 1, algo="bcrypt", mac_key_ref=None, receipt_key=None, rotation_id="")
    imported = replace(hashed, rotations={}).with_client(last_rotation=None)
    assert list(breaches(imported)) == []


def test_every_sentence_is_provoked() -> None:
    tree = ast.parse(inspect.getsource(invariants))
    yielded = [node.value for node in ast.walk(tree) if isinstance(node, ast.Yield)]
    sentences = {node.value for node in yielded if isinstance(node, ast.Constant)}
    assert len(sentences) > 12
    assert all(any(expected in str(sentence) for _, _, expected in DAMAGE.values()) for sentence in sentences)


def test_the_phases_of_the_stages_are_those_that_they_say() -> None:
    assert staged("requested").rotation(2).phase is Phase.REQUESTED
    assert staged("distributed").rotation(2).phase is Phase.DISTRIBUTED
    assert staged("acknowledged").rotation(2).phase is Phase.ACKNOWLEDGED
