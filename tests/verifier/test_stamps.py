"""Every write of a client is stamped by the store: what a verifier's poll looks for (changes.py, rule 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from keyturn.ports.store import Check

from tests.world import CLIENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pytest
    from keyturn.ports.store import Write

    from tests.world import World


def test_whatever_changes_a_client_is_stamped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps: list[object] = []
    commit = world.control.inner.commit

    def noted(writes: Sequence[Write], **given: Any) -> datetime:  # noqa: ANN401 - as a store's
        clients = [write for write in writes if write.path.startswith("oauth2_clients/") and write.path.count("/") == 1]
        changed = [write for write in clients if not isinstance(write, Check)]
        stamps.extend(getattr(write, "stamped", None) for write in changed)
        return commit(writes, **given)

    monkeypatch.setattr(world.control.inner, "commit", noted)
    world.add_client("another-integration")
    first = world.issue("alice", "bob")
    world.clock.advance(hours=1)
    world.issue("alice", "bob")
    for user, action in (("bob", "rollback"), ("alice", "suspend"), ("bob", "resume")):
        params = {"compromised": False} if action == "rollback" else {}
        assert world.send(world.admins[user].action(action, params)).status_code == 200
    world.clock.advance(hours=2)
    world.sweep()
    assert set(stamps) == {"changed_at"}
    assert len(stamps) > 8
    found = cast("Any", world.document(f"oauth2_clients/{CLIENT}"))
    assert found["changed_at"] >= found["updated_at"]
    assert world.check(first)["accepted"]
