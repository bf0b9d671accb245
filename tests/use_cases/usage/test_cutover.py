"""Cutover and early retirement: what is known is told, and nothing is retired that is not shown to be silent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.errors import ServerRefusedError
from keyturn.ports.store import Create, Delete, Replace, StoreUnavailable

from tests.use_cases.usage.secret_uses import begun, moved, use
from tests.world import CLIENT, EACH_STORE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.world import World


def cutover(world: World, client_id: str = CLIENT) -> dict[str, Any]:
    answer = world.operator(f"/clients/{client_id}/cutover")
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def live(world: World) -> tuple[str, str | None]:
    client = world.document(f"oauth2_clients/{CLIENT}")
    return client["current_version"], client["previous_version"]


@EACH_STORE
def test_a_transition_is_told_by_shares_callers_and_failures(world: World) -> None:
    old, new = begun(world)
    world.clock.advance(hours=1)
    use(world, old, times=3)
    world.clock.advance(minutes=1)
    use(world, new, times=1)
    use(world, old, address="198.51.100.9", agent="job")
    use(world, "A" * 43, times=2)
    told = cutover(world)

    current, previous = live(world)
    assert (told["in_transition"], told["old"]["version_id"], told["new"]["version_id"]) == (True, previous, current)
    assert (told["old"]["uses"], told["new"]["uses"], told["old_share"], told["old_share_last_day"]) == (4, 1, 0.8, 0.8)
    assert told["failures"]["count"] == 2
    assert told["old"]["last_at"] <= told["now"]
    assert told["telemetry"]["verifiers"] == 1
    callers = {item["caller"]: item for item in told["callers"]}
    assert len(callers) == 2
    assert all(len(tag) == 8 for tag in callers)
    assert {(item["lags"], item["old_uses"], item["new_uses"]) for item in callers.values()} == {
        (False, 13, 1),
        (True, 1, 0),
    }
    assert told["callers"][0]["lags"] is True
    assert told["silence"]["because"] in {"new_not_in_use", "caller_not_moved", "too_short"}
    assert told["retire"] == {"proposed": False, "by_policy": False}
    assert "203.0.113" not in repr(world.documents(world.usage))


def test_a_client_at_rest_is_in_no_transition(world: World) -> None:
    world.found("alice", "bob")
    told = cutover(world)
    assert (told["in_transition"], told["old"], told["new"], told["forecast"], told["silence"]) == (
        False,
        None,
        None,
        None,
        None,
    )
    use(world, world.issue("alice", "bob"))
    told = cutover(world)
    assert (told["in_transition"], told["new"]["uses"], told["old_share"]) == (False, 1, None)
    assert world.operator("/clients/nobody/cutover").status_code == 404


def test_members_see_it_and_others_see_no_such_client(world: World) -> None:
    world.found("alice", groups=("ops", "sales"))
    for client_id, group in (("inner", "ops"), ("outer", "sales")):
        world.add_client(client_id, [group])
    assert world.admins["alice"].device.cutover("inner")["client_id"] == "inner"
    stranger = world.join("carol", "ops")
    assert stranger.device.cutover("inner")["in_transition"] is False
    for client_id in ("outer", "nobody"):
        with pytest.raises(ServerRefusedError, match="no such client"):
            stranger.device.cutover(client_id)


def test_silence_is_proposed_and_not_acted_on_without_the_policy(world: World) -> None:
    _, new = begun(world)
    moved(world, new, 7)
    told = cutover(world)
    assert told["silence"]["because"] == "silent"
    assert told["retire"] == {"proposed": True, "by_policy": False}
    assert live(world)[1] is not None


def test_silence_retires_by_policy_and_is_audited(world: World) -> None:
    old, new = begun(world, retire_early=True)
    moved(world, new, 3)
    assert live(world)[1] is not None
    moved(world, new, 4)
    assert live(world)[1] is None
    assert (world.check(old)["accepted"], world.check(new)["accepted"]) == (False, True)
    chain = sorted(path for path in world.documents() if path.startswith(f"oauth2_clients/{CLIENT}/audit/"))
    entry = world.document(chain[-1])
    assert (entry["action"], entry["actor"]) == ("retire", "policy")
    assert entry["reason"].startswith("silent for ")
    assert cutover(world)["in_transition"] is False


def test_while_everything_is_stopped_nothing_is_retired(world: World) -> None:
    _, new = begun(world, retire_early=True)
    assert world.operator("/stop", {"reason": "something is wrong"}).status_code == 200
    moved(world, new, 8)
    assert live(world)[1] is not None
    assert world.operator("/start", {}).status_code == 200
    moved(world, new, 1)
    assert live(world)[1] is None


def test_an_old_secret_that_is_still_in_use_is_not_retired(world: World) -> None:
    old, new = begun(world, retire_early=True)
    for _ in range(9):
        moved(world, new, 1)
        use(world, old)
    assert live(world)[1] is not None


def test_another_caller_on_the_old_secret_is_waited_for(world: World) -> None:
    old, new = begun(world, retire_early=True)
    use(world, old, address="198.51.100.9", agent="monthly-job")
    moved(world, new, 8)
    assert live(world)[1] is not None
    told = cutover(world)
    assert told["silence"]["because"] == "caller_not_moved"
    assert told["callers"][0]["lags"] is True


def forgotten(world: World) -> None:
    """Take every verifier's word away."""
    for path, (version, _) in world.documents(world.usage).items():
        if path.startswith("verifiers/"):
            world.usage.inner.commit([Delete(path, version)])


def vanished(world: World) -> None:
    """Let another verifier have said its last word two hours ago, without a goodbye."""
    path = next(path for path in world.documents(world.usage) if path.startswith("verifiers/"))
    document = world.usage.get([path])[path]
    now = world.clock()
    other = {**(document.data or {}), "counted_to": now, "process": "other"}
    world.usage.inner.commit([Create("verifiers/other", other)])
    world.clock.advance(hours=2)


@pytest.mark.parametrize("trouble", [forgotten, vanished], ids=lambda trouble: trouble.__name__)
def test_without_every_verifiers_word_nothing_is_retired(world: World, trouble: Any) -> None:  # noqa: ANN401 - a parameter
    _, new = begun(world, retire_early=True)
    moved(world, new, 5)
    world.clock.advance(hours=24)
    use(world, new)
    trouble(world)
    if trouble is vanished:
        use(world, new)
    assert cutover(world)["silence"]["because"] == "telemetry_incomplete"
    world.sweep()
    assert live(world)[1] is not None


def test_when_no_flush_came_lately_nothing_is_retired(world: World) -> None:
    _, new = begun(world, retire_early=True)
    moved(world, new, 5)
    world.clock.advance(hours=30)
    world.sweep()
    assert live(world)[1] is not None


def test_a_rolled_back_rotation_retires_nothing_by_policy(world: World) -> None:
    old, new = begun(world, retire_early=True)
    use(world, new)
    world.clock.advance(hours=24)
    use(world, new)
    world.clock.advance(hours=24)
    use(world, new)
    assert world.send(world.admins["bob"].action("rollback", {"compromised": False})).status_code == 200
    moved(world, old, 8)
    told = cutover(world)
    assert (told["rolled_back"], told["retire"]["proposed"]) == (True, False)
    assert live(world)[1] is not None


def test_use_near_the_end_raises_an_alarm_once_an_hour(world: World, caplog: pytest.LogCaptureFixture) -> None:
    old, _ = begun(world)
    caplog.set_level(logging.WARNING, "keyturn")

    def alarms() -> int:
        return sum("an old secret is in use near its end" in record.getMessage() for record in caplog.records)

    use(world, old)
    world.clock.advance(hours=2)
    world.sweep()
    assert alarms() == 0
    world.clock.advance(hours=24 * 11)
    use(world, old)
    world.sweep()
    assert alarms() == 1
    world.sweep()
    assert alarms() == 1
    assert cutover(world)["at_risk"] is True
    assert old not in caplog.text


@pytest.mark.parametrize(("new_uses", "at_risk"), [(19, True), (20, False)])
def test_a_high_share_of_the_old_near_its_end_is_a_risk_whichever_caller_has_moved(
    world: World, caplog: pytest.LogCaptureFixture, *, new_uses: int, at_risk: bool
) -> None:
    old, new = begun(world)
    world.clock.advance(hours=24 * 12)
    use(world, old)
    world.clock.advance(hours=1)
    use(world, new, times=new_uses)  # the same caller: it does not lag, and one use in twenty is a high share
    told = cutover(world)
    assert [item["lags"] for item in told["callers"]] == [False]
    assert told["at_risk"] is at_risk
    world.sweep()
    assert ("an old secret is in use near its end" in caplog.text) is at_risk


def test_a_damaged_client_holds_up_no_other(world: World) -> None:
    _, new = begun(world, retire_early=True)
    world.add_client("damaged")
    path = "oauth2_clients/damaged"
    document = world.control.inner.get([path])[path]
    damaged: Mapping[str, Any] = {**(document.data or {}), "live": "nothing", "next_due_at": world.clock()}
    world.control.inner.commit([Replace(path, damaged, document.version or "")])
    moved(world, new, 7)
    assert live(world)[1] is None


def test_usage_that_cannot_be_read_stops_the_watch_and_no_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = begun(world, retire_early=True)
    moved(world, new, 3)
    world.clock.advance(hours=24)
    use(world, new)

    def gone(_paths: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(world.usage, "get", gone)
    answer = world.call("POST", "/grace_sweeper/", b"{}", {"Authorization": "Bearer the-operators-own-token"})
    assert answer.status_code == 503
    assert world.check(old)["accepted"] is True
    assert world.check(new)["accepted"] is True
