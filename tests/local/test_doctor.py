"""`keyturn doctor` and `keyturn dead-letters` over real data folders: what they print, exit codes, hints."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.sqlite.outbox import DeliveryPolicy, Outbox
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.cli.main import app, register_local
from keyturn.local.delivery import Delivery
from keyturn.local.doctor import diagnose, open_folder, outbox_of
from keyturn.local.errors import LocalError
from keyturn.ports.triggers import TRIGGERS
from keyturn.records import paths
from typer.testing import CliRunner

from tests.local.real_machine import Machine
from tests.local.rotated import CLIENT, Patient, Rotated, patient, rotated
from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

OTHER_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Rotated:
    return rotated(tmp_path_factory.mktemp("rotated"))


@pytest.fixture
def ill(healthy: Rotated, tmp_path: Path) -> Iterator[Patient]:
    opened = patient(healthy, tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture(scope="module", autouse=True)
def _local_commands() -> None:
    register_local(app)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


# --- the doctor ------------------------------------------------------------------------------------------------------


def test_healthy_folder_is_told_calmly(ill: Patient) -> None:
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 0
    assert "No problems found: every invariant holds." in result.stdout
    assert "3 versions, 3 rotations" in result.stdout
    assert "outbox: 0 waiting, 0 in delivery, 0 dead letters" in result.stdout
    assert result.stderr == ""


def test_breach_is_named_with_a_hint(ill: Patient) -> None:
    ill.set(CLIENT, next_due_at=None)
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 1
    assert "client acme" in result.stdout
    assert "the sweeper's time (next_due_at) differs" in result.stdout
    assert "error: 1 broken invariants." in result.stderr
    assert "hint: " in result.stderr
    assert "No problems found" not in result.stdout


def test_json_holds_everything_and_no_secret(ill: Patient) -> None:
    ill.set(CLIENT, hint=ill.secret)
    result = run("doctor", "--data", str(ill.folder), "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {item["breach"] for item in said["breaches"]} >= {"a document has a field that its kind does not have"}
    assert {item["where"] for item in said["breaches"]} == {CLIENT}
    assert said["checked"]["clients"] == 1
    assert said["not_checked"] == []
    assert said["outbox"] == {"waiting": 0, "in_delivery": 0, "dead_letters": 0, "oldest": None}
    assert ill.secret not in result.output


def test_a_stop_that_stands_is_told_and_no_breach(ill: Patient) -> None:
    ill.suite.operator.denylist.stop("a leak")
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 0
    assert "The service has been stopped since" in result.stderr
    said = json.loads(run("doctor", "--data", str(ill.folder), "--json").stdout)
    assert said["stopped"]["reason"] == "a leak"
    assert said["breaches"] == []


def test_the_parts_of_what_was_checked_are_one_word_each(ill: Patient) -> None:
    said = json.loads(run("doctor", "--data", str(ill.folder), "--json").stdout)
    assert [name for name in said["checked"] if " " in name] == []
    assert said["checked"]["audit_entries"] > 1
    assert said["stopped"] is None


STRAYS = {
    "version of no client": (
        paths.version("nobody", OTHER_ID),
        "one of the versions is unreferenced",
    ),
    "entry of no chain": (
        paths.audit_entry("nobody", 1),
        "one of the audit entries is unreferenced",
    ),
    "rotation of no client": (paths.rotation(OTHER_ID), "one of the rotations is unreferenced"),
    "group that nobody founded": (
        paths.group("secret-group"),
        "one of the groups is unreferenced",
    ),
    "message of no group": (paths.message("nowhere", 1), "one of the messages is unreferenced"),
    "key package of no group": (
        paths.key_package("AAAA"),
        "one of the key packages is unreferenced",
    ),
    "document of no kind": ("notes/1", "a document has a path that no kind of document has"),
    "document below a version": (
        f"oauth2_clients/acme/secrets/{OTHER_ID}/plain/1",
        "a document has a path that no",
    ),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_document_that_belongs_to_nothing_is_named(ill: Patient, stray: str) -> None:
    path, expected = STRAYS[stray]
    ill.put(path, {"client_id": "nobody", "group_id": "nowhere"})
    found = [(breach.where, breach.sentence) for breach in diagnose(ill.suite).breaches]
    assert any(where == path and sentence.startswith(expected) for where, sentence in found)


def test_document_that_stands_alone_is_held_against_its_kind(ill: Patient) -> None:
    ill.put("service/frozen", {"since": LATER, "because": "restored"})
    assert diagnose(ill.suite).breaches == ()
    ill.put("service/frozen", {"since": LATER, "because": "restored", "key": "x"})
    (found,) = diagnose(ill.suite).breaches
    assert (found.where, found.sentence) == ("service/frozen", "a document has a field that its kind does not have")


@pytest.mark.parametrize("database", ["auth", "usage"])
def test_document_in_the_wrong_database_is_named(ill: Patient, database: str) -> None:
    ill.put("notes/1", {"a": 1}, getattr(ill.suite.databases, database))
    assert [breach.where for breach in diagnose(ill.suite).breaches] == ["notes/1"]


def test_folder_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    result = run("doctor", "--data", str(tmp_path / "nothing"))
    assert result.exit_code == 1
    assert "error: Not a keyturn data folder" in result.stderr
    assert "are missing." in result.stderr
    assert "hint: " in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_folder_without_its_keys_is_refused_and_gets_no_new_ones(ill: Patient) -> None:
    (ill.folder / "keys.json").unlink()
    with pytest.raises(LocalError, match=r"keys\.json is missing"):
        open_folder(ill.folder)
    assert not (ill.folder / "keys.json").exists()


def test_damaged_file_is_refused(ill: Patient) -> None:
    ill.close()
    (ill.folder / "usage.db").write_bytes(b"x" * 4096)
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 1
    assert "error: The data folder cannot be used: usage.db" in result.stderr


def test_document_that_cannot_be_read_is_refused(ill: Patient) -> None:
    ill.close()
    with closing(sqlite3.connect(ill.folder / "control.db")) as connection, connection:
        connection.execute(
            'UPDATE documents SET data = replace(data, \'"$t"\', \'"$t":1,"x"\') WHERE path = ?', (CLIENT,)
        )
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 1
    assert "error: The data folder cannot be used: control.db is damaged" in result.stderr


def test_running_store_is_examined_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.start()
    try:
        machine.wait_until_up()
        machine.operator("/groups", {"group_id": "ops"})
        machine.operator("/clients", {"client_id": "acme", "groups": ["ops"], "kind": "x_api_key", "policy": {}})
        result = run("doctor", "--data", str(machine.data))
        assert (result.exit_code, result.stderr) == (0, "")
        assert machine.stop() == 0
    finally:
        machine.end()


def test_dead_letters_are_noted_and_no_breach(ill: Patient) -> None:
    bury(ill.folder)
    result = run("doctor", "--data", str(ill.folder))
    assert result.exit_code == 0
    assert "2 dead letters" in result.stdout
    assert "warning: There are dead letters, see `keyturn dead-letters list`." in result.stderr


# --- dead letters ----------------------------------------------------------------------------------------------------


def bury(folder: Path) -> list[str]:
    """Give up two events that nobody took; return their ids."""
    store = SqliteStore(folder / "control.db", triggers=TRIGGERS)
    hasty = Outbox(store.file, policy=DeliveryPolicy(attempts=1))
    for name in ("one", "two"):
        store.publish([("distribute", "secret-distribution", {"client_id": name, "rotation_id": OTHER_ID})])
    events = hasty.claim(10)
    for event in events:
        hasty.mark_failed(event, "HTTP 500")
    store.close()
    return [event.event_id for event in events]


def test_dead_letters_are_listed(ill: Patient) -> None:
    ids = bury(ill.folder)
    result = run("dead-letters", "list", "--data", str(ill.folder))
    assert result.exit_code == 0
    assert all(event_id in result.stdout for event_id in ids)
    assert "HTTP 500" in result.stdout
    said = json.loads(run("dead-letters", "list", "--data", str(ill.folder), "--json").stdout)["dead_letters"]
    assert [item["event_id"] for item in said] == ids
    assert [(item["door"], item["attempts"], item["reason"]) for item in said] == [("distribute", 1, "HTTP 500")] * 2


def test_empty_list_says_so(ill: Patient) -> None:
    assert "No dead letters" in run("dead-letters", "list", "--data", str(ill.folder)).stdout


def test_one_dead_letter_is_replayed(ill: Patient) -> None:
    first, second = bury(ill.folder)
    result = run("dead-letters", "replay", first, "--data", str(ill.folder), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"replayed": 1})
    assert [event.event_id for event in outbox_of(ill.suite).dead_letters()] == [second]
    assert outbox_of(ill.suite).depth().waiting == 1


def test_all_dead_letters_are_replayed_and_delivered(ill: Patient) -> None:
    bury(ill.folder)
    assert "Scheduled for delivery: 2." in run("dead-letters", "replay", "--all", "--data", str(ill.folder)).stdout
    outbox, stop = outbox_of(ill.suite), threading.Event()
    # Nobody serves that address: a new attempt is what shows that they are tried again.
    thread = threading.Thread(target=Delivery(outbox, "http://127.0.0.1:1").run, args=(stop,))
    thread.start()
    try:
        until(lambda: _tried(ill.folder) == 2)
    finally:
        stop.set()
        thread.join()


def _tried(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "control.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM outbox WHERE attempts > 0").fetchone()[0])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("replay",), 2, "error: Give either one EVENT_ID or --all."),
        (("replay", "x", "--all"), 2, "error: Give either one EVENT_ID or --all."),
        (("replay", "x"), 1, "error: There is no dead letter with that id."),
    ],
)
def test_replay_of_nothing_is_told(ill: Patient, words: tuple[str, ...], code: int, sentence: str) -> None:
    result = run("dead-letters", *words, "--data", str(ill.folder))
    assert result.exit_code == code
    assert sentence in result.stderr
    assert "hint: " in result.stderr


def test_dead_letters_of_no_folder_are_refused(tmp_path: Path) -> None:
    assert run("dead-letters", "list", "--data", str(tmp_path)).exit_code == 1
