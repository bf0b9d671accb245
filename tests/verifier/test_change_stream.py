"""Listening: what is heard ends what was kept at once; what is not heard costs speed only."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.firestore.change_feed import FirestoreFeed
from keyturn.domain.model import ClientStatus
from keyturn.domain.policy import Policy
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Cloud, Settings, SettingsError, from_environment, to_environment
from keyturn.entry.config.settings import Stage as Stages
from keyturn.ports.store import Query, StoreUnavailable
from keyturn.records import paths
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.stage import CountedMac, Process, Reachable, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.ports.store import Document


class Told:
    """A feed that tells what a test says, session by session, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Query, tuple[str, Sequence[int]]]] = []
        self.documents: list[Document] = []
        self.broken = False
        self.cancelled = 0

    def follow(self, query: Query, either: tuple[str, Sequence[int]]) -> Told:
        self.asked.append((query, either))
        return self

    def __iter__(self) -> Iterator[Document]:
        while self.documents:
            yield self.documents.pop(0)
        if self.broken:
            raise StoreUnavailable("broke off")

    def cancel(self) -> None:
        self.cancelled += 1


def listening(stage: Stage) -> tuple[Process, Told]:
    """Return a process that listens, after its first poll; the session itself still waits to be run."""
    feed = Told()
    waiting: list[Callable[[], None]] = []
    reach, mac = Reachable(stage.store), CountedMac()
    caching = Caching(stage.clock.process(0.0), os.urandom, waiting.append, feed)
    process = Process(reach, mac, Verifier(reach, mac, stage.policy, caching=caching), waiting)
    process.verifier.poll()
    return process, feed


def document(stage: Stage, client_id: str = "acme") -> Document:
    path = paths.client(client_id)
    return stage.store.get([path])[path]


def test_what_is_heard_ends_what_was_kept_before_any_poll() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    process, feed = listening(stage)
    assert process.verifier.check("acme", secret).accepted
    stage.stand("acme", ClientStatus.REVOKED)
    stage.clock.seconds += 1.01
    assert process.verifier.check("acme", secret).accepted
    feed.documents.append(document(stage))
    process.poll()
    assert not process.verifier.check("acme", secret).accepted


def test_what_is_heard_late_and_out_of_order_vouches_for_nothing() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    process, feed = listening(stage)
    before = document(stage)
    stage.stand("acme", ClientStatus.SUSPENDED)
    feed.documents += [document(stage), before, before]
    process.poll()
    assert not process.verifier.check("acme", secret).accepted


def test_one_session_follows_all_shards_from_the_last_poll_on() -> None:
    stage = Stage()
    stage.clock.seconds = 7.0
    process, feed = listening(stage)
    process.verifier.poll()
    ((query, either),) = feed.asked  # the first session still lasts
    assert (query.order_by, query.at_least, either) == ("changed_at", stage.clock(), ("due_shard", range(16)))


@pytest.mark.parametrize("broken", [False, True])
def test_a_session_that_ended_is_opened_again_after_a_later_poll_and_not_at_once(broken: bool) -> None:  # noqa: FBT001 - a parameter
    stage = Stage()
    process, feed = listening(stage)
    feed.broken = broken
    sessions = []
    for _ in range(12):
        process.poll()
        stage.clock.seconds += 1
        process.verifier.poll()
        sessions.append(len(feed.asked))
    assert sessions == [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]


def test_a_closed_verifier_listens_no_longer_and_still_checks() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    process, feed = listening(stage)
    process.verifier.close()
    assert feed.cancelled == 1
    process.poll()
    stage.clock.seconds += 60
    process.verifier.poll()
    assert len(feed.asked) == 1
    assert process.verifier.check("acme", secret).accepted


def test_who_keeps_nothing_has_nothing_to_close() -> None:
    stage = Stage()
    Verifier(stage.store, stage.mac, stage.policy).close()
    stage.process().verifier.close()


def suite_of(**changes: object) -> Suite:
    names = dict.fromkeys(("control", "auth", "usage", "mac_key", "seal_key", "sign_key"), "x")
    cloud = Cloud(project="somewhere", **names)
    return Suite(replace(Settings(stage=Stages.PRODUCTION, cloud=cloud), **changes))  # type: ignore[arg-type]  # fields


def test_our_own_door_listens_where_it_keeps_unless_told_otherwise() -> None:
    caching = suite_of().verification.caching
    assert caching is not None
    assert isinstance(caching.feed, FirestoreFeed)
    silent = suite_of(listen=False).verification.caching
    assert silent is not None
    assert silent.feed is None
    assert suite_of(policy=Policy(max_stale_seconds=0)).verification.caching is None
    assert suite_of(stage=Stages.LOCAL).verification.caching is None


def test_whether_it_listens_is_a_setting() -> None:
    assert from_environment({}).listen
    silent = from_environment({"KEYTURN_LISTEN": "0"})
    assert not silent.listen
    assert to_environment(silent)["KEYTURN_LISTEN"] == "0"
    assert "KEYTURN_LISTEN" not in to_environment(from_environment({}))
    with pytest.raises(SettingsError):
        from_environment({"KEYTURN_LISTEN": "perhaps"})
