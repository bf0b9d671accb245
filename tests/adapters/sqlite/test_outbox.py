from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.sqlite.bus import LocalBus
from keyturn.adapters.sqlite.outbox import DeliveryPolicy, Depth, Outbox, OutboxEvent
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.store import Check, Create, Delete, LostRace, put
from keyturn.ports.triggers import TRIGGERS, Subscription, Trigger

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "oauth2_clients/a/secrets/1"
PATIENCE = DeliveryPolicy(lease_seconds=60, first_delay_seconds=1, longest_delay_seconds=5, attempts=4)


class SetClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db", triggers=TRIGGERS, clock=clock)


@pytest.fixture
def outbox(store: SqliteStore, clock: SetClock) -> Outbox:
    return Outbox(store.file, policy=PATIENCE, clock=clock, jitter=lambda: 0.0)


def claim_one(outbox: Outbox) -> OutboxEvent:
    (event,) = outbox.claim(10)
    return event


def give_up(outbox: Outbox, clock: SetClock) -> None:
    for _ in range(PATIENCE.attempts):
        clock.pass_seconds(10)
        for event in outbox.claim(10):
            outbox.mark_failed(event, "HTTP 500")


def test_written_document_that_a_trigger_means_wakes_its_door(store: SqliteStore, outbox: Outbox) -> None:
    store.commit([Create(SECRET, {}), Create("oauth2_clients/a", {}), Create("oauth2_clients/a/audit/1", {})])
    event = claim_one(outbox)
    assert (event.function, event.kind, event.subject) == ("on_secret_version", "document", SECRET)
    assert (event.attempts, event.published_at, dict(event.attributes)) == (1, START, {})


def test_create_update_and_delete_wake_and_check_does_not(store: SqliteStore, outbox: Outbox) -> None:
    store.commit([Create(SECRET, {})])
    store.commit([Check(SECRET, store.get([SECRET])[SECRET].version)])
    store.commit([put(store.get([SECRET])[SECRET], {})])
    store.commit([Delete(SECRET, store.get([SECRET])[SECRET].version or "")])
    events = outbox.claim(10)
    assert [event.subject for event in events] == [SECRET] * 3
    assert len({event.event_id for event in events}) == 3


def test_lost_commit_wakes_nobody(store: SqliteStore, outbox: Outbox) -> None:
    with pytest.raises(LostRace):
        store.commit([Create(SECRET, {}), Check("oauth2_clients/a", "1")])
    assert outbox.depth().waiting == 0


def test_every_trigger_that_means_a_document_wakes_its_own_door(tmp_path: Path) -> None:
    triggers = (Trigger("a/{x}", "one"), Trigger("a/{x}", "two"), Trigger("a/fixed", "three"), Trigger("b/{x}", "no"))
    store = SqliteStore(tmp_path / "two.db", triggers=triggers)
    store.commit([Create("a/fixed", {})])
    assert sorted(event.function for event in Outbox(store.file).claim(10)) == ["one", "three", "two"]


def test_published_message_wakes_every_subscribed_door(store: SqliteStore, outbox: Outbox) -> None:
    bus = LocalBus(store, (Subscription("news", "one"), Subscription("news", "two"), Subscription("other", "three")))
    bus.publish("news", {"client_id": "a", "version_id": "1"})
    events = outbox.claim(10)
    assert [event.function for event in events] == ["one", "two"]
    assert {(event.kind, event.subject, event.attributes["version_id"]) for event in events} == {("topic", "news", "1")}


def test_publishing_where_nobody_subscribes_is_refused(store: SqliteStore, outbox: Outbox) -> None:
    with pytest.raises(BusUnavailable, match="no such topic"):
        LocalBus(store).publish("unknown", {})
    assert outbox.depth().waiting == 0


def test_publishing_to_a_store_that_is_gone_is_not_confirmed(store: SqliteStore, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "store.db").rename(tmp_path / "away.db")
    with pytest.raises(BusUnavailable, match="not have been stored"):
        LocalBus(store).publish("secret-distribution", {})


def test_writing_wakes_every_store_of_this_process(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore(tmp_path / "store.db")
    assert not other.file.wake.is_set()
    store.commit([Create("oauth2_clients/a", {})])
    assert not other.file.wake.is_set()
    store.commit([Create(SECRET, {})])
    assert other.file.wake.is_set()


def test_claimed_row_is_nobody_elses_until_its_lease_runs_out(
    store: SqliteStore, outbox: Outbox, clock: SetClock
) -> None:
    store.commit([Create(SECRET, {})])
    first = claim_one(outbox)
    clock.pass_seconds(59)
    assert outbox.claim(10) == ()
    assert outbox.depth().leased == 1
    clock.pass_seconds(1)
    again = claim_one(outbox)
    assert (again.event_id, again.attempts) == (first.event_id, 2)


def test_claim_takes_no_more_than_asked_and_the_longest_due_first(
    store: SqliteStore, outbox: Outbox, clock: SetClock
) -> None:
    for number in range(3):
        store.commit([Create(f"oauth2_clients/a/secrets/{number}", {})])
        clock.pass_seconds(1)
    assert [event.subject[-1] for event in outbox.claim(2)] == ["0", "1"]
    assert [event.subject[-1] for event in outbox.claim(2)] == ["2"]


def test_done_row_is_gone_for_good(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {})])
    outbox.mark_delivered(claim_one(outbox))
    clock.pass_seconds(3600)
    assert outbox.claim(10) == ()
    assert outbox.depth() == Depth(0, 0, 0, None)


def test_failed_row_comes_back_later_each_time_up_to_the_cap(
    store: SqliteStore, outbox: Outbox, clock: SetClock
) -> None:
    store.commit([Create(SECRET, {})])
    ids = set()
    for delay in (1, 2, 4):
        event = claim_one(outbox)
        ids.add(event.event_id)
        outbox.mark_failed(event, "HTTP 500")
        assert outbox.next_due() == clock.now + timedelta(seconds=delay)
        clock.pass_seconds(delay - 0.001)
        assert outbox.claim(10) == ()
        clock.pass_seconds(0.001)
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"), [(1, 0.0, 1.0), (2, 0.0, 2.0), (4, 0.0, 5.0), (40, 1.0, 2.5), (1, 0.5, 0.75)]
)
def test_delay_grows_is_capped_and_jittered(attempts: int, jitter: float, seconds: float) -> None:
    assert PATIENCE.delay(attempts, jitter) == timedelta(seconds=seconds)


def test_row_that_fails_to_the_end_is_a_dead_letter(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {})])
    give_up(outbox, clock)
    clock.pass_seconds(10**6)
    assert outbox.claim(10) == ()
    assert outbox.next_due() is None
    (dead,) = outbox.dead_letters()
    assert (dead.subject, dead.attempts, dead.reason) == (SECRET, 4, "HTTP 500")
    assert (outbox.depth().waiting, outbox.depth().dead) == (0, 1)


def test_row_that_kills_whoever_delivers_it_is_a_dead_letter(
    store: SqliteStore, outbox: Outbox, clock: SetClock
) -> None:
    store.commit([Create(SECRET, {})])
    for _ in range(PATIENCE.attempts):
        claim_one(outbox)
        clock.pass_seconds(60)
    assert outbox.claim(10) == ()
    (dead,) = outbox.dead_letters()
    assert dead.reason == "lease expired"


def test_failure_reported_after_the_lease_ran_out_changes_nothing(
    store: SqliteStore, outbox: Outbox, clock: SetClock
) -> None:
    store.commit([Create(SECRET, {})])
    late = claim_one(outbox)
    clock.pass_seconds(60)
    claim_one(outbox)
    due = outbox.next_due()
    outbox.mark_failed(late, "too late")
    assert outbox.next_due() == due
    assert outbox.depth().leased == 1


def test_delivery_after_the_lease_ran_out_counts(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {})])
    late = claim_one(outbox)
    clock.pass_seconds(60)
    again = claim_one(outbox)
    outbox.mark_delivered(late)
    outbox.mark_failed(again, "HTTP 500")
    assert outbox.depth().waiting == 0


def test_replay_makes_one_dead_letter_due_under_its_own_id(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {}), Create("oauth2_clients/b/secrets/1", {})])
    give_up(outbox, clock)
    first, second = outbox.dead_letters()
    assert outbox.replay(first.event_id) == 1
    event = claim_one(outbox)
    assert (event.event_id, event.attempts) == (first.event_id, 1)
    assert [dead.event_id for dead in outbox.dead_letters()] == [second.event_id]


def test_replay_of_all_and_of_nothing(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {}), Create("oauth2_clients/b/secrets/1", {})])
    give_up(outbox, clock)
    assert outbox.replay("unknown") == 0
    assert outbox.replay() == 2
    assert outbox.replay() == 0
    assert len(outbox.claim(10)) == 2


def test_replay_leaves_what_still_waits_alone(store: SqliteStore, outbox: Outbox) -> None:
    store.commit([Create(SECRET, {})])
    assert outbox.replay() == 0
    assert outbox.depth().waiting == 1


def test_rows_survive_closing_and_opening(store: SqliteStore, tmp_path: Path, clock: SetClock) -> None:
    store.commit([Create(SECRET, {})])
    store.close()
    again = Outbox(SqliteStore(tmp_path / "store.db", clock=clock).file, clock=clock)
    assert claim_one(again).subject == SECRET


def test_two_deliverers_never_hold_the_same_row(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(f"oauth2_clients/a/secrets/{number}", {}) for number in range(10)])
    other = Outbox(SqliteStore(store.file.path, clock=clock).file, policy=PATIENCE, clock=clock)
    mine, theirs = outbox.claim(6), other.claim(6)
    assert (len(mine), len(theirs)) == (6, 4)
    assert {event.event_id for event in mine}.isdisjoint(event.event_id for event in theirs)


def test_depth_names_the_oldest(store: SqliteStore, outbox: Outbox, clock: SetClock) -> None:
    store.commit([Create(SECRET, {})])
    clock.pass_seconds(5)
    store.commit([Create("oauth2_clients/b/secrets/1", {})])
    assert (outbox.depth().waiting, outbox.depth().oldest) == (2, START)


@pytest.mark.parametrize("leased", [False, True])
def test_a_clock_that_is_set_back_delays_a_delivery_by_no_more_than_its_lease(
    store: SqliteStore, outbox: Outbox, clock: SetClock, *, leased: bool
) -> None:
    store.commit([Create(SECRET, {})])
    if leased:
        claim_one(outbox)
    clock.now -= timedelta(days=8)
    due = outbox.next_due()
    assert due is not None
    assert outbox.is_due(due)
    assert claim_one(outbox).attempts == 1 + leased
    assert outbox.claim(10) == ()
    clock.pass_seconds(60)
    assert claim_one(outbox).attempts == 2 + leased
