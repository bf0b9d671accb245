"""What a document says before anything matched: the same of everybody, as long as nothing matched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.errors import Broken
from keyturn.domain.model import ClientStatus
from keyturn.ports.store import put
from keyturn.records import paths
from keyturn.records.client_document import live_state
from keyturn.verifier import candidates, verifier
from keyturn.verifier.verdict import Reason

from tests.verifier.stage import START, Stage

if TYPE_CHECKING:
    from keyturn.domain.model import ClientState
    from keyturn.ports.store import Data

WRONG = "A" * 43


def data_of(stage: Stage, client_id: str = "acme") -> Data:
    path = paths.client(client_id)
    return cast("Data", stage.store.get([path])[path].data)


def two(stage: Stage) -> tuple[str, str]:
    return stage.promote("acme"), stage.promote("acme")


def test_there_are_always_two_candidates() -> None:
    stage = Stage()
    unknown = candidates.read_candidates(candidates.client_or_placeholder(None), START)
    assert len({version.client_id for version in unknown}) == 1
    stage.promote("acme")
    one = candidates.read_candidates(data_of(stage), START)
    assert [len(unknown), len(one)] == [2, 2]
    assert [version.client_id == "acme" for version in one] == [True, False]
    stage.promote("acme")
    assert [version.client_id for version in candidates.read_candidates(data_of(stage), START)] == ["acme", "acme"]


def test_a_version_after_its_end_is_no_candidate_and_one_whose_start_is_ahead_is() -> None:
    stage = Stage()
    two(stage)
    data = data_of(stage)
    after = candidates.read_candidates(data, START + timedelta(hours=1))
    set_back = candidates.read_candidates(data, START - timedelta(days=8))
    assert [version.client_id == "acme" for version in (*after, *set_back)] == [True, False, True, True]


@pytest.mark.parametrize("status", [ClientStatus.SUSPENDED, ClientStatus.REVOKED])
def test_who_does_not_stand_well_has_no_candidate(status: ClientStatus) -> None:
    stage = Stage()
    two(stage)
    stage.stand("acme", status)
    found = candidates.read_candidates(data_of(stage), START)
    assert list(found) == list(candidates.read_candidates(candidates.client_or_placeholder(None), START))
    assert candidates.refusal_reason(data_of(stage), START) is Reason(status.value)


@pytest.mark.parametrize("live", [None, "x", {"current": {"client_id": "acme"}, "previous": None}])
def test_a_damaged_version_is_a_candidate_that_nothing_matches(live: Any) -> None:  # noqa: ANN401 - whatever may stand there
    data = {"client_id": "acme", "status": "active", "current_version": "0" * 26, "live": live}
    read = candidates.read_candidates(data, START)
    assert [version is candidates.DAMAGED for version in read] == [True, False]


def test_damage_in_one_version_stops_neither_the_other_nor_is_its_secret_called_wrong() -> None:
    stage = Stage()
    old, new = two(stage)
    data = data_of(stage)
    live = cast("Data", data["live"])
    damaged = {**data, "live": {**live, "current": {**cast("Data", live["current"]), "receipt_key": 17}}}
    path = paths.client("acme")
    stage.store.commit([put(stage.store.get([path])[path], damaged)])
    verifier = stage.process().verifier
    assert verifier.check("acme", old).accepted
    for presented in (new, WRONG):
        with pytest.raises(Broken):
            verifier.check("acme", presented)


def test_nothing_is_parsed_past_two_versions_until_something_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    old, new = two(stage)
    process, parsed = stage.process(), list[str]()

    def noted(data: Data) -> ClientState:
        parsed.append(str(data["client_id"]))
        return live_state(data)

    monkeypatch.setattr(verifier, "live_state", noted)
    for client_id in ("acme", "nobody", "a/b"):
        assert not process.verifier.check(client_id, WRONG).accepted
    assert parsed == []
    assert process.verifier.check("acme", new).accepted
    assert process.verifier.check("acme", old).accepted
    assert parsed == ["acme", "acme"]


def test_what_time_alone_brought_is_applied_before_anything_is_compared() -> None:
    stage = Stage()
    old, new = two(stage)
    state = stage.state("acme")
    assert state.previous is not None
    early = replace(state.previous, not_after=stage.clock() + timedelta(seconds=1))
    stage.write(state.with_versions(early))
    process = stage.process()
    assert process.verifier.check("acme", old).accepted
    stage.clock.seconds += 1
    assert [process.verifier.check("acme", secret).accepted for secret in (old, new)] == [False, True]
