"""Every document that a use case writes is of exactly one kind, and has exactly its fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.audit_chain import Transition, chained
from keyturn.domain.model import Client, ClientKind, ClientState
from keyturn.domain.policy import Policy
from keyturn.records.client_document import client_data
from keyturn.records.codec import to_data
from keyturn.records.schema import KINDS, kind_of

from tests.domain.scene import STAGES, staged

if TYPE_CHECKING:
    from keyturn.ports.store import Data

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def problems(path: str, data: Data) -> list[str]:
    kind = kind_of(path)
    assert kind is not None
    return list(kind.shape.problems(data))


@pytest.mark.parametrize("stage", STAGES)
def test_documents_of_a_client_are_of_their_kinds(stage: str) -> None:
    scene = staged(stage)
    assert problems("oauth2_clients/acme", client_data(scene.state, scene.policy)) == []
    for version in scene.state.versions.values():
        assert problems(f"oauth2_clients/acme/secrets/{version.version_id}", to_data(version)) == []
    for entry in chained(scene.state.client.audit_head, scene.history, NOW, banner="TRIAL"):
        assert problems("oauth2_clients/acme/audit/1", {**entry.content, "hash": entry.hash}) == []  # type: ignore[dict-item]  # canonical JSON values are store values


def test_policy_of_a_client_holds_known_settings_only() -> None:
    client = Client("acme", ClientKind.X_API_KEY, ("ops",), NOW, policy={"quorum": 2})
    data = client_data(ClientState(client), Policy())
    assert problems("oauth2_clients/acme", data) == []
    assert problems("oauth2_clients/acme", {**data, "policy": {"hint": 1}}) == [
        "has a field that its kind does not have"
    ]


def test_unknown_missing_and_nested_fields_are_problems() -> None:
    (entry,) = chained(ClientState(Client("a", ClientKind.X_API_KEY, (), NOW)).client.audit_head, [_join()], NOW)
    data = {**entry.content, "hash": entry.hash}
    path = "audit_heads/_system/audit/000000000001"
    assert problems(path, data) == []  # type: ignore[arg-type]  # canonical JSON values are store values
    assert problems(path, {**data, "secret": "x"}) == ["has a field that its kind does not have"]  # type: ignore[dict-item]  # the same
    assert problems(path, {**data, "actor": {"user": "x"}}) == ["has an object where its kind has none"]  # type: ignore[dict-item]  # the same
    del data["actor"]
    assert problems(path, data) == ["lacks a field that its kind has"]  # type: ignore[arg-type]  # the same


def _join() -> Transition:
    return Transition("join", "alice", {"group_id": "ops"}, after={"epoch": 1, "leaf": 1})


@pytest.mark.parametrize("path", ["notes/1", "oauth2_clients/a/b/c", "mls_groups/ops/roster/others", "service/other"])
def test_other_places_are_of_no_kind(path: str) -> None:
    assert kind_of(path) is None


def test_head_of_the_system_chain_is_no_client() -> None:
    kind = kind_of("audit_heads/_system")
    assert kind is not None
    assert kind.noun == "chain heads"


def test_no_path_is_of_two_kinds() -> None:
    for kind in KINDS:
        assert [other for other in KINDS if other.matches(kind.pattern)] == [kind]
