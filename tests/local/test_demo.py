"""The demo comes out well, leaves no plaintext anywhere, and what it leaves opens no message that was sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.encodings import base64url_decode
from keyturn.local.demo.scenario import ADMINS, Scenario
from keyturn.local.demo.screen import summary
from keyturn.local.demo.suite_process import start_suite
from keyturn.local.doctor import open_folder
from keyturn.local.plaintext import forms, search_folder
from keyturn.mls import MlsError
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Query
from keyturn.proofs.nostr import open_event
from keyturn.records import paths

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.entry.composition.suite import Suite


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scenario]:
    folder = tmp_path_factory.mktemp("demo")
    with start_suite(folder) as stage:
        scenario = Scenario(stage, lambda _name, _seconds: None)
        scenario.run()
    return folder, scenario


@pytest.fixture(scope="module")
def kept(told: tuple[Path, Scenario]) -> Suite:
    return open_folder(told[0] / "data")


def messages(suite: Suite) -> list[dict[str, Any]]:
    found = suite.databases.control.query(Query(paths.messages("ops"), order_by="index"))
    return [dict(item.data) for item in found if item.data is not None]


def test_it_comes_out_well(told: tuple[Path, Scenario]) -> None:
    said = summary(told[1].results)
    assert [rotation["outcome"] for rotation in said["rotations"]] == ["promoted"] * 3
    assert [{ack["user"] for ack in rotation["acks"]} for rotation in said["rotations"]] == [
        {"bob", "carol"},
        {"alice", "carol"},
        {"bob"},
    ]
    assert [proof["user"] for proof in said["proofs"]].count("bob") == 2  # approving carol, and his rotation
    assert {tuple(proof["amr"]) for proof in said["proofs"]} == {("dev_attest", "pop", "totp")}
    assert set(said["refused"].values()) == {"proof_refused"}
    assert len(said["refused"]) == 4
    assert said["moments_without_an_accepted_secret"] == 0
    assert said["unanswered_requests"] == 0
    assert said["plaintext_at_rest"] == {"found": 0, "control_found": True}
    assert said["doctor"]["breaches"] == []


def test_its_summary_holds_no_secret(told: tuple[Path, Scenario]) -> None:
    said = json.dumps(summary(told[1].results))
    assert told[1].secrets
    assert [secret for secret in told[1].secrets.values() if secret in said] == []


def test_its_summary_holds_no_proof_and_no_seed(told: tuple[Path, Scenario]) -> None:
    said = json.dumps(summary(told[1].results))
    people = told[1].people.values()
    assert len(told[1].people) == len(ADMINS)
    assert [seed for person in people for seed in person.authenticator.secrets if seed in said] == []
    assert [proof for person in people for proof in person.recorder.proofs if proof in said] == []


def test_no_byte_that_it_leaves_is_a_secret_in_any_form(told: tuple[Path, Scenario]) -> None:
    folder, scenario = told
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"up.log", "control.db", "keys.json", "state.sealed"} <= files
    assert len(scenario.secrets) == 3
    assert search_folder(folder, scenario.secrets.values()) == []


@pytest.mark.parametrize("form", list(forms("A" * 43)))
def test_the_search_finds_a_planted_secret_in_each_form(told: tuple[Path, Scenario], tmp_path: Path, form: str) -> None:
    secret = next(iter(told[1].secrets.values()))
    (tmp_path / "planted").write_bytes(b"before" + forms(secret)[form] + b"after")
    assert form in {finding.form for finding in search_folder(tmp_path, [secret])}


def test_the_kept_database_with_its_keys_opens_no_message_that_was_sent(kept: Suite) -> None:
    path = paths.group("ops")
    data = kept.databases.control.get([path])[path].data
    assert data is not None
    now = kept.databases.control.get([]).read_time
    sent = [message for message in messages(kept) if message["kind"] == "notice"]
    assert len(sent) == 3
    for message in sent:
        session = kept.groups.open(data, now)
        with pytest.raises((GroupError, MlsError)):
            session.receive(base64url_decode(open_event(message["event"]).content))


def test_the_same_database_and_keys_open_what_they_should(kept: Suite, told: tuple[Path, Scenario]) -> None:
    """Positive control: the state that opens nothing sent is alive, and its group is the devices' own."""
    path = paths.group("ops")
    data = kept.databases.control.get([path])[path].data
    assert data is not None
    session = kept.groups.open(data, kept.databases.control.get([]).read_time)
    assert len(session.members) == len(ADMINS) - 1 + 1  # carol left, the service is one of them
    assert session.encrypt(b"still able to send")
    last = told[1].results.rotations[-1]
    assert {leaf.npub for leaf in session.members} == {kept.groups.npub, *(item["npub"] for item in last["recipients"])}
