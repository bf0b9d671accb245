"""A leaked secret: its version is found, and revoked in one commit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.domain.encodings import new_secret
from keyturn.domain.secret_format import hint_of
from keyturn.ports.store import StoreUnavailable
from keyturn.records import paths
from keyturn.use_cases.clients import leak

from tests.use_cases.clients.leak_requests import asked, the_version_of, versions
from tests.world import CLIENT, EACH_STORE

if TYPE_CHECKING:
    from tests.world import World


@pytest.fixture
def founded(world: World) -> World:
    return world.found("alice", "bob", policy={"scannable_secrets": True})


def test_a_scannable_secret_is_issued_by_policy_and_found_by_its_hint(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    assert founded.check(secret)["accepted"]
    found = versions(founded, f"hint={hint_of(secret)}")
    assert [item["version_id"] for item in found] == [founded.check(secret)["version_id"]]
    assert the_version_of(founded, secret, f"hint={hint_of(secret)}")["state"] == "current"
    assert versions(founded, "hint=00000000") == []


def test_a_client_may_switch_between_the_forms_and_old_ones_go_on(founded: World) -> None:
    secrets = [founded.issue("alice", "bob")]
    for wanted in (False, True):
        answer = founded.operator(f"/clients/{CLIENT}/policy", {"policy": {"scannable_secrets": wanted}})
        assert answer.status_code == 200
        founded.clock.advance(minutes=1)
        secrets.append(founded.issue("alice", "bob", supersede=True))
        assert [founded.check(secret)["accepted"] for secret in secrets[-2:]] == [True, True]
    assert [len(secret) for secret in secrets] == [66, 43, 66]


def test_a_wrong_hint_of_a_right_secret_is_refused(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    other = founded.issue("alice", "bob", supersede=True)
    swapped = other[:8] + secret[8:16] + other[16:]
    assert [
        founded.check(one)["accepted"]
        for one in (swapped, secret[:-1] + ("A" if secret[-1] != "A" else "Q"), secret[17:60])
    ] == [False] * 3


def test_retired_versions_are_found_too_in_a_page_of_all(founded: World) -> None:
    first = founded.issue("alice", "bob")
    founded.issue("alice", "bob", grace_milliseconds=0)
    assert the_version_of(founded, first, "")["state"] == "retired"
    assert the_version_of(founded, first, f"client_id={CLIENT}")["retired_because"] == "superseded"


def test_all_are_told_page_by_page(founded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak, "CLIENTS_A_PAGE", 2)
    for number in range(4):
        founded.add_client(f"client-{number}")
    secrets = {name: founded.issue("alice", "bob", client_id=name) for name in (CLIENT, "client-1", "client-3")}
    following: str | None = ""
    found = []
    while following is not None:
        page = cast("Any", founded.operator(f"/versions?after={following}" if following else "/versions").json)
        found += [item["client_id"] for item in page["versions"]]
        following = page["next"]
    assert found == sorted(secrets)


@pytest.mark.parametrize("query", ["client_id=nobody", "after=nobody"])
def test_an_unknown_client_is_said_to_be_so(founded: World, query: str) -> None:
    assert founded.operator(f"/versions?{query}").status_code == 404


@pytest.mark.parametrize("hint", ["", "short", "toolongtoolong", "%C3%A4bcdefgh", "abc/../d"])
def test_a_hint_that_is_none_is_refused(founded: World, hint: str) -> None:
    assert founded.operator(f"/versions?hint={hint}").status_code == 400


@EACH_STORE
def test_one_commit_ends_the_version_and_its_tokens_and_asks_for_a_successor(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.found("alice", "bob", policy={"scannable_secrets": True})
    secret = world.issue("alice", "bob")
    token, _ = world.suite.verification.tokens.issue(world.suite.verification.verifier.check(CLIENT, secret))
    assert world.suite.verification.token_checker.check(token).verdict.accepted
    version = the_version_of(world, secret, f"client_id={CLIENT}")
    world.control.calls.clear()
    with caplog.at_level(logging.ERROR, "keyturn"):
        answer = world.operator("/leak/revoke", asked(version, secret, world))
    assert answer.status_code == 200, answer.text
    assert world.control.calls.count("commit") == 1
    burnt = cast("Any", answer.json)
    assert (burnt["status"], burnt["refused"], burnt["quorum"]) == ("suspended", None, 2)
    assert not world.check(secret)["accepted"]
    assert not world.suite.verification.token_checker.check(token).verdict.accepted
    assert [record.getMessage() for record in caplog.records if leak.REVOKED in record.getMessage()] == [
        f"{leak.REVOKED}: version {version['version_id']} of client {CLIENT}"
    ]
    assert secret.encode() not in world.dump()

    world.pump()
    for user in ("alice", "bob"):
        assert world.send(world.admins[user].ack(burnt["rotation_id"])).status_code == 200
    assert world.check(world.admins["alice"].secret(burnt["rotation_id"]))["state"] == "current"
    assert not world.check(secret)["accepted"]


def test_the_same_request_gets_the_same_answer_and_does_it_once(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    request = asked(the_version_of(founded, secret, ""), secret, founded)
    answers = [founded.operator("/leak/revoke", request) for _ in range(2)]
    assert [answer.json for answer in answers] == [answers[0].json] * 2
    entries = [path for path in founded.documents() if path.startswith(paths.audit(CLIENT))]
    founded.operator("/leak/revoke", request)
    assert [path for path in founded.documents() if path.startswith(paths.audit(CLIENT))] == entries


def test_of_two_who_sight_it_at_once_one_asks_for_the_successor(
    founded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = founded.issue("alice", "bob")
    version = the_version_of(founded, secret, "")
    mine, theirs = (asked(version, secret, founded) for _ in range(2))
    commit, answers = founded.control.commit, []

    def overtaken(writes: Any, **given: Any) -> Any:  # noqa: ANN401 - the store's own signature
        monkeypatch.setattr(founded.control, "commit", commit)
        answers.append(founded.operator("/leak/revoke", theirs).status_code)
        return commit(writes, **given)

    monkeypatch.setattr(founded.control, "commit", overtaken)
    answer = founded.operator("/leak/revoke", mine)
    assert (answers, answer.status_code) == ([200], 409)
    assert founded.document(paths.client(CLIENT))["active_rotation"] == theirs["rotation_id"]


def test_a_door_that_dies_before_its_commit_did_nothing_and_after_it_everything(
    founded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = founded.issue("alice", "bob")
    request = asked(the_version_of(founded, secret, ""), secret, founded)
    commit = founded.control.commit

    def before(_writes: object, **_given: object) -> None:
        raise StoreUnavailable

    def after(writes: Any, **given: Any) -> None:  # noqa: ANN401 - the store's own signature
        commit(writes, **given)
        raise StoreUnavailable

    monkeypatch.setattr(founded.control, "commit", before)
    assert founded.operator("/leak/revoke", request).status_code == 503
    assert founded.check(secret)["accepted"]
    monkeypatch.setattr(founded.control, "commit", after)
    assert founded.operator("/leak/revoke", request).status_code == 503
    assert not founded.check(secret)["accepted"]
    monkeypatch.undo()
    assert cast("Any", founded.operator("/leak/revoke", request).json)["rotation_id"] == request["rotation_id"]


def test_a_rotation_id_that_was_used_is_no_successor(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    version = the_version_of(founded, secret, "")
    fields = {**asked(version, "", founded), "rotation_id": version["rotation_id"]}
    answer = founded.operator("/leak/revoke", fields)
    assert (answer.status_code, cast("Any", answer.json)["reason"]) == (409, "rotation_id_taken")
    assert founded.check(secret)["accepted"]


def test_who_has_not_the_value_can_burn_nothing(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    version = the_version_of(founded, secret, "")
    good = asked(version, secret, founded)
    for changes in (
        {"signature": ""},
        {"signature": "A" * 86},
        {"sighted_at": founded.milliseconds(seconds=1)},
        {"rotation_id": founded.new_id()},
        {"made_by": founded.new_id()},
        asked(version, new_secret(bytes(32)), founded),
    ):
        answer = founded.operator("/leak/revoke", {**good, **changes})
        assert (answer.status_code, cast("Any", answer.json)["reason"]) == (403, "bad_sighting")
    assert founded.check(secret)["accepted"]


@pytest.mark.parametrize("changes", [{"version_id": "x"}, {"rotation_id": "x"}, {"client_id": "/"}, {"sighted_at": -1}])
def test_what_is_malformed_is_refused(founded: World, changes: dict[str, object]) -> None:
    secret = founded.issue("alice", "bob")
    fields = asked(the_version_of(founded, secret, ""), secret, founded)
    assert founded.operator("/leak/revoke", {**fields, **changes}).status_code == 400


def test_an_unknown_version_is_said_to_be_so(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    fields = asked(the_version_of(founded, secret, ""), secret, founded, version_id=founded.new_id())
    assert founded.operator("/leak/revoke", fields).status_code == 404


def test_a_version_in_grace_dies_without_a_successor_of_its_own(founded: World) -> None:
    first = founded.issue("alice", "bob")
    second = founded.issue("alice", "bob")
    answer = founded.operator("/leak/revoke", asked(the_version_of(founded, first, ""), first, founded))
    burnt = cast("Any", answer.json)
    assert (burnt["rotation_id"], burnt["refused"], burnt["status"]) == (None, None, "active")
    assert [founded.check(one)["accepted"] for one in (first, second)] == [False, True]


def test_whatever_came_of_it_is_answered_again(founded: World) -> None:
    first, second = founded.issue("alice", "bob"), founded.issue("alice", "bob")
    for secret in (first, second):
        request = asked(the_version_of(founded, secret, ""), secret, founded)
        answers = [founded.operator("/leak/revoke", request) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].json == answers[1].json
    other = {**request, "version_id": founded.new_id()}
    assert cast("Any", founded.operator("/leak/revoke", other).json)["reason"] == "rotation_id_taken"


def test_a_retired_version_needs_no_end(founded: World) -> None:
    first = founded.issue("alice", "bob")
    founded.issue("alice", "bob", grace_milliseconds=0)
    answer = founded.operator("/leak/revoke", asked(the_version_of(founded, first, ""), first, founded))
    assert (answer.status_code, cast("Any", answer.json)["reason"]) == (409, "version_not_live")


def test_without_enough_admins_the_version_is_revoked_all_the_same(founded: World) -> None:
    secret = founded.issue("alice", "bob")
    version = the_version_of(founded, secret, "")
    for user in ("alice", "bob"):
        assert founded.operator(f"/groups/{'operations-team'}/remove", {"user": user}).status_code == 200
    burnt = cast("Any", founded.operator("/leak/revoke", asked(version, secret, founded)).json)
    assert (burnt["rotation_id"], burnt["refused"], burnt["status"]) == (None, "quorum_unreachable", "suspended")
    assert not founded.check(secret)["accepted"]


def test_a_client_names_its_last_five_retired_versions(founded: World) -> None:
    issued = []
    for _ in range(7):
        secret = founded.issue("alice", "bob", grace_milliseconds=0)
        issued.append(founded.check(secret)["version_id"])
    document = founded.document(paths.client(CLIENT))
    assert list(document["recently_retired"]) == issued[1:6]
