"""Denylists and the stop at `admin_proof`, from their copy in its own database: control is not read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Unavailable
from keyturn.domain.proofs_policy import ProofRefused
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths
from keyturn.records.codec import to_data
from keyturn.records.denylist import ALLOWED_WHILE_STOPPED, Denylists

if TYPE_CHECKING:
    from tests.proving.stage import Stage


class Unreadable:
    """A database that this door may not read."""

    def get(self, _paths: object) -> None:
        raise StoreUnavailable("not this door's")

    query = commit = get


def denying(stage: Stage, **lists: tuple[str, ...]) -> None:
    stage.change(stage.databases.auth, paths.DENIED, {**to_data(Denylists()), **lists})


def stopping(stage: Stage) -> None:
    stage.change(stage.databases.auth, paths.STOPPED, {"since": stage.now, "reason": "a test"})


@pytest.mark.parametrize("kind", ["users", "npubs", "clients"])
def test_a_denied_caller_gets_no_proof_and_is_recorded(stage: Stage, kind: str) -> None:
    act = stage.act("alice")
    denying(stage, **{kind: ({"users": "alice", "npubs": act.npub, "clients": act.client_id}[kind],)})
    with pytest.raises(ProofRefused):
        stage.prover()(stage.asked("alice"))
    assert [list(entry["missing"]) for entry in stage.evidence()] == [["policy"]]
    if kind != "clients":
        assert stage.proof("bob")


def test_while_all_is_stopped_proofs_are_for_what_takes_away(stage: Stage) -> None:
    stopping(stage)
    for action in ("", "rotation", "emergency", "resume", "approve", "ack"):
        with pytest.raises(Unavailable) as caught:
            stage.prover()(replace(stage.asked(), action=action))
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("stopped", 60)
    for user, action in zip(("alice", "bob", "alice"), sorted(ALLOWED_WHILE_STOPPED), strict=True):
        proof = stage.prover()(replace(stage.asked(user), action=action))
        assert proof["jwt_proof"]
        stage.now = stage.now.replace(minute=stage.now.minute + 1)
    assert stage.admin().failures == 0


def test_the_stop_and_the_denylists_are_read_without_control(stage: Stage) -> None:
    stopping(stage)
    blind = replace(stage.databases, control=Unreadable())  # type: ignore[arg-type]  # raises whatever is asked
    with pytest.raises(Unavailable) as caught:
        stage.prover(databases=blind)(stage.asked())
    assert caught.value.reason == "stopped"
