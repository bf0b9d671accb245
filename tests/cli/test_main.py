from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from dataclasses import replace
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import typer
from keyturn.cli.main import app, main, register_local
from keyturn.device.core.errors import UnreachableError
from keyturn.device.device import Device
from keyturn.device.groups.membership import DeviceMembership
from keyturn.device.home.home import Home
from keyturn.domain.encodings import new_secret
from keyturn.use_cases.clients import administration
from typer.testing import CliRunner

from tests.cli.shell import PASSPHRASE, ROTATION, Shell, assert_error
from tests.service import Service
from tests.world import URL

if TYPE_CHECKING:
    from keyturn.device.api.client import HttpRequest, HttpResponse


# --- a session


def test_from_nothing_to_a_promoted_version(keyturn: Shell, server: Service) -> None:
    assert keyturn.json("group", "create", "team")["members"] == []
    assert keyturn.json("client", "add", "shop", "--group", "team", "--quorum", "1")["client_id"] == "shop"
    assert keyturn.json("device", "init", "--name", "laptop")["npub"].startswith("npub1")
    invite = keyturn.json("device", "invite", "--user", "alice", "--group", "team")
    joined = keyturn.json("device", "join", invite["code"])
    assert (joined["user"], joined["group"]) == ("alice", "team")
    assert keyturn.json("group", "show", "team")["members"][0]["user"] == "alice"

    asked = keyturn.json("rotate", "shop", "--reason", "first", "--yes")
    assert asked["client_id"] == "shop"
    (listed,) = keyturn.json("inbox")["notices"]
    assert listed["rotation_id"] == asked["rotation_id"]
    assert "secret" not in listed

    acked = keyturn.json("ack", asked["rotation_id"])
    assert (acked["phase"], acked["outcome"]) == ("completed", "promoted")
    (shown,) = keyturn.json("inbox", "--reveal")["notices"]
    assert shown["secret"] == server.secrets[asked["rotation_id"]]
    assert keyturn.json("inbox", "--reveal")["notices"] == []

    verdict = keyturn.json("check", "shop", stdin=shown["secret"] + "\n")
    assert (verdict["accepted"], verdict["version_id"]) == (True, asked["version_id"])
    assert keyturn.json("client", "show", "shop")["current_version"] == asked["version_id"]
    assert keyturn.json("rotation", "show", asked["rotation_id"])["outcome"] == "promoted"


def test_for_people_it_is_tables_and_next_steps(enrolled: Shell) -> None:
    asked = enrolled("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes")
    assert asked.exit_code == 0
    assert f"keyturn ack {ROTATION}" in asked.stdout
    listed = enrolled("inbox")
    assert listed.stdout.split()[:7] == ["ROTATION", "CLIENT", "VERSION", "FROM", "RECEIVED", "ACKNOWLEDGED", "TAKEN"]
    assert ROTATION in listed.stdout
    assert "1 of 1" in enrolled("ack", ROTATION).stdout
    assert "promoted" in enrolled("rotation", "show", ROTATION).stdout
    assert "acme" in enrolled("client", "list").stdout
    assert "current" in enrolled("client", "show", "acme").stdout
    assert "alice" in enrolled("group", "show", "ops").stdout
    assert "\x1b" not in listed.stdout


def test_a_device_is_made_and_enrolled_by_people(keyturn: Shell) -> None:
    made = keyturn("device", "init", "--name", "laptop")
    assert "npub1" in made.stdout
    invited = keyturn("device", "invite", "--user", "bob", "--group", "ops")
    code = invited.stdout.splitlines()[0].split()[1]
    joined = keyturn("device", "join", code)
    assert joined.stdout.split() == ["user", "bob", "group", "ops", "members", "1"]
    assert_error(keyturn("device", "join", "used"), code=1, error="unknown", hint="Ask for a new code")


def test_a_code_that_was_used_says_where_this_device_is(enrolled: Shell, server: Service) -> None:
    code = json.loads(next(call.body or b"" for call in server.calls if call.url.endswith("/enrol/")))["code"]
    joined = enrolled("device", "join", code)
    assert_error(joined, code=1, error="used already", hint="This device is already in ops.")
    enrolled.json("device", "init", "--name", "other", home="bob")
    other = enrolled("device", "join", code, home="bob")
    assert_error(other, code=1, error="used already", hint="Ask for a new code")
    assert "already" not in other.stderr.splitlines()[-1]


def test_a_client_is_shown_with_its_policy_in_one_block(keyturn: Shell) -> None:
    added = keyturn("client", "add", "shop", "--group", "ops", "--grace", "2h")
    assert added.exit_code == 0
    facts = added.stdout.splitlines()[:11]
    assert [line.split("  ")[0] for line in facts[7:]] == ["groups", "grace", "shortest lead", "shortest interval"]
    assert [line.split()[-1] for line in facts[7:]] == ["ops", "2h", "10m", "1h"]
    assert len({len(line) - len(line.split("  ", 1)[1].lstrip()) for line in facts}) == 1
    assert keyturn("client", "show", "shop").stdout == added.stdout


def test_clients_are_listed_page_by_page(keyturn: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "PAGE", 1)
    added = keyturn("client", "add", "shop", "--group", "ops", "--kind", "oauth2", "--grace", "2h", "--quorum", "2")
    assert "oauth2_client_secret" in added.stdout
    assert [client["client_id"] for client in keyturn.json("client", "list")["clients"]] == ["acme", "shop"]
    assert keyturn.json("client", "show", "shop")["policy"]["grace_seconds"] == 7200


def test_empty_things_say_so(enrolled: Shell) -> None:
    assert enrolled("inbox").stdout == "The inbox is empty.\n"
    assert enrolled("inbox", "--reveal").stdout == "There is no undelivered secret.\n"


# --- the device


def test_a_passphrase_is_asked_for_twice(keyturn: Shell) -> None:
    keyturn.typed = ["secret words", "secret words"]
    assert keyturn("device", "init", "--name", "laptop", terminal=True).exit_code == 0
    assert Home.open(keyturn.folder / "alice", "secret words").name == "laptop"


def test_two_passphrases_that_differ_make_no_home(keyturn: Shell) -> None:
    keyturn.typed = ["secret words", "secret wards"]
    result = keyturn("device", "init", "--name", "laptop", terminal=True)
    assert_error(result, code=2, error="differ", hint="again")
    assert not (keyturn.folder / "alice").exists()


def test_without_a_terminal_or_a_file_the_passphrase_is_missed(keyturn: Shell) -> None:
    keyturn.typed = ["never asked for"]
    assert_error(keyturn("device", "init", "--name", "laptop"), code=1, error="passphrase", hint="prompt")


def test_a_pipe_does_not_hide_the_terminal_from_the_passphrase(keyturn: Shell) -> None:
    keyturn.typed, keyturn.attended = ["secret words", "secret words"], True
    assert keyturn("device", "init", "--name", "laptop", stdin="not the passphrase\n").exit_code == 0
    assert Home.open(keyturn.folder / "alice", "secret words").name == "laptop"


def test_a_second_device_does_not_take_the_firsts_home(enrolled: Shell) -> None:
    assert_error(enrolled("device", "init", "--name", "other"), code=1, error="already", hint="empty")


def test_no_device_is_told_with_a_hint(keyturn: Shell) -> None:
    assert_error(keyturn("inbox"), code=1, error="no keyturn device", hint="keyturn device init")


def test_no_passphrase_is_asked_for_where_there_is_no_device(keyturn: Shell) -> None:
    keyturn.typed = ["never asked for"]
    result = keyturn("inbox", terminal=True)
    assert_error(result, code=1, error="no keyturn device", hint="keyturn device init")
    assert keyturn.questions == []


def test_no_passphrase_is_asked_for_where_a_new_device_has_no_room(enrolled: Shell) -> None:
    enrolled.typed = ["never asked for"]
    result = enrolled("device", "init", "--name", "other", terminal=True)
    assert_error(result, code=1, error="already", hint="empty")
    assert enrolled.questions == []


def test_an_acknowledged_secret_that_is_not_current_yet_says_so(enrolled: Shell, server: Service) -> None:
    server.set_policy("acme", minimum_not_before_seconds=600)
    enrolled.issue()
    asked = enrolled.json("rotate", "acme", "--reason", "routine", "--yes")
    result = enrolled("ack", asked["rotation_id"])
    assert result.exit_code == 0, result.stderr
    assert "not current yet" in result.stdout
    assert f"keyturn rotation show {asked['rotation_id']}" in result.stdout


def test_without_an_operator_token_there_is_a_hint(keyturn: Shell) -> None:
    (token,) = (keyturn.folder / "state" / "keyturn").iterdir()
    token.unlink()
    assert_error(keyturn("client", "list"), code=1, error="operator token", hint="keyturn up")


def test_without_an_operator_token_a_member_sees_the_client(enrolled: Shell) -> None:
    (token,) = (enrolled.folder / "state" / "keyturn").glob("*.token")
    token.unlink()
    assert enrolled.json("client", "show", "acme")["client_id"] == "acme"


def test_nobody_there_is_told_with_a_hint(enrolled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_server: Service, _call: HttpRequest) -> HttpResponse:
        raise UnreachableError("The server does not answer.", "Is `keyturn up` running?")

    monkeypatch.setattr(Service, "send", nobody)
    assert_error(enrolled("client", "list"), code=1, error="does not answer", hint="keyturn up")
    assert_error(enrolled("check", "acme", stdin="x"), code=2, error="does not answer", hint="keyturn up")
    asked = enrolled("rotation", "show", ROTATION)
    assert_error(asked, code=1, error="does not answer", hint="keyturn up")
    inbox = enrolled("inbox")
    assert (inbox.exit_code, inbox.stdout) == (0, "The inbox is empty.\n")
    assert inbox.stderr.startswith("warning: ")


# --- rotate


def test_what_will_happen_is_shown_before_the_question(enrolled: Shell, server: Service) -> None:
    result = enrolled("rotate", "acme", "--reason", "routine", stdin="n\n", terminal=True)
    assert result.exit_code == 1
    for fact in (
        "secret goes to",
        "ops",
        "npub1",
        "quorum",
        "2026-03-01 12:00:00 UTC",
        "this is the first",
        "none is in",
    ):
        assert fact in result.stdout
    assert server.commands == []


def test_a_yes_asks_for_it(enrolled: Shell, server: Service) -> None:
    assert enrolled("rotate", "acme", "--reason", "routine", stdin="y\n", terminal=True).exit_code == 0
    assert len(server.commands) == 1


def test_an_empty_pipe_is_no_answer(enrolled: Shell, server: Service) -> None:
    assert_error(enrolled("rotate", "acme", "--reason", "routine"), code=2, error="needs an answer", hint="--yes")
    assert server.commands == []


def test_a_yes_in_a_pipe_will_do(enrolled: Shell, server: Service) -> None:
    assert enrolled("rotate", "acme", "--reason", "routine", stdin="n\n").exit_code == 1
    assert server.commands == []
    assert enrolled("rotate", "acme", "--reason", "routine", stdin="y\n").exit_code == 0
    assert len(server.commands) == 1


def test_the_plan_knows_who_joined_since(enrolled: Shell, server: Service) -> None:
    enrolled.json("device", "init", "--name", "other", home="bob")
    enrolled.json("device", "join", server.invite("bob", "ops"), home="bob")
    assert "2 known to this device" in enrolled("rotate", "acme", "--reason", "routine", "--yes").stdout


def test_a_log_that_can_not_be_followed_does_not_keep_from_rotating(enrolled: Shell, server: Service) -> None:
    server.append("ops", "commit", b"nonsense")
    server.readmits = False
    result = enrolled("rotate", "acme", "--reason", "routine", "--emergency", "--yes")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: A commit of the group can't be processed")


def test_a_command_goes_out_signed_when_the_way_to_the_present_epoch_is_lost(enrolled: Shell, server: Service) -> None:
    for _ in range(4):
        server.update("ops")
    nonsense = server.sign(445, [["h", "ops"]], b"nonsense").to_dict()
    server.groups["ops"].log[1] = {**server.groups["ops"].log[1], "event": nonsense}
    server.readmits = False
    assert enrolled("rotate", "acme", "--reason", "routine", "--emergency", "--yes").exit_code == 0
    assert [command.sig != "0" * 128 for command in server.commands] == [True]


def test_a_device_that_can_not_follow_comes_back_by_itself_and_says_so(enrolled: Shell, server: Service) -> None:
    server.append("ops", "commit", b"nonsense")
    result = enrolled("rotate", "acme", "--reason", "routine", "--yes")
    assert result.exit_code == 0
    assert "came back with new keys" in result.stderr


def test_the_inbox_opens_though_a_log_can_not_be_followed(enrolled: Shell, server: Service) -> None:
    enrolled("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes")
    server.append("ops", "commit", b"nonsense")
    listed = enrolled("inbox")
    assert ROTATION in listed.stdout
    assert listed.stderr.startswith("warning: ")


def test_nothing_goes_through_a_group_that_is_tampered_with(enrolled: Shell, server: Service) -> None:
    enrolled.json("device", "init", "--name", "other", home="mallory")
    enrolled.json("device", "join", server.invite("mallory", "ops"), home="mallory")
    record = Home.open(enrolled.folder / "mallory", PASSPHRASE).load("group", "ops") or b""
    group = DeviceMembership.from_bytes("ops", record).group
    commit = group.commit(random=os.urandom, now=enrolled.clock(), remove=[1])
    server.append("ops", "commit", commit.message)
    result = enrolled("rotate", "acme", "--reason", "routine", "--yes")
    assert_error(result, code=1, error="tried to change the members of the group", hint="operator of the service")
    assert server.commands == []


def test_the_fate_of_the_version_in_grace_is_told(enrolled: Shell, server: Service) -> None:
    server.set_policy("acme", minimum_not_before_seconds=0)
    old, new = enrolled.issue(), enrolled.issue()
    words = ("rotate", "acme", "--reason", "routine", "--grace", "2h", "--not-before", "15m", "--yes")
    refused = enrolled(*words)
    assert f"{old} is in grace: refused" in refused.stdout
    assert_error(refused, code=1, error="still in grace", hint="--supersede")
    done = enrolled(*words, "--supersede")
    assert f"{old} ends when the new version takes over" in done.stdout
    assert f"{new}, then in grace until 2026-03-01 14:15:00 UTC or later (2h)" in done.stdout


def test_an_emergency_is_sent_as_one(enrolled: Shell, server: Service) -> None:
    enrolled.json("rotate", "acme", "--reason", "leaked", "--emergency", "--grace", "0s", "--not-before", "0s", "--yes")
    content = json.loads(server.commands[-1].content)
    assert (content["action_type"], content["params"]["grace_duration_ms"]) == ("emergency", 0)


def test_waiting_ends_with_the_rotation(enrolled: Shell) -> None:
    enrolled.on_sleep = lambda: enrolled.device().ack(ROTATION)
    rotation = enrolled.json("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--wait", "--yes")
    assert (rotation["phase"], rotation["outcome"]) == ("completed", "promoted")


def test_canaries_are_shown_where_a_rotation_waits_for_them(enrolled: Shell, server: Service) -> None:
    enrolled("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes")
    assert "canaries" not in enrolled("rotation", "show", ROTATION).stdout
    server.rewrites["/rotations/"] = lambda rotation: {**rotation, "canaries": 1, "canaries_required": 3}
    shown = enrolled("rotation", "show", ROTATION).stdout
    assert [line.split()[1:] for line in shown.splitlines() if line.startswith("canaries")] == [["1", "of", "3"]]


def test_waiting_for_what_is_not_promoted_fails(enrolled: Shell) -> None:
    enrolled.on_sleep = lambda: enrolled.clock.advance(hours=1)
    result = enrolled("rotate", "acme", "--reason", "r", "--rotation-id", ROTATION, "--wait", "--yes")
    assert_error(result, code=1, error="not promoted", hint="rotation show")


def test_ctrl_c_leaves_the_rotation_running(enrolled: Shell, server: Service) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    enrolled.on_sleep = interrupt
    result = enrolled("rotate", "acme", "--reason", "r", "--rotation-id", ROTATION, "--wait", "--yes")
    assert_error(result, code=1, error="goes on", hint=ROTATION)
    assert server.rotations[ROTATION]["phase"] == "distributed"


@pytest.mark.parametrize(
    "words",
    [
        ("rotate", "no id!", "--reason", "r", "--yes"),
        ("rotate", "acme", "--reason", "r", "--rotation-id", "x", "--yes"),
        ("rotate", "acme", "--reason", "r", "--grace", "soon", "--yes"),
        ("ack", "x"),
        ("client", "show", "../groups"),
        ("revoke", "acme", "--version", "x", "--reason", "r"),
    ],
)
def test_values_that_can_not_be_are_refused_before_anything_is_sent(
    enrolled: Shell, server: Service, words: tuple[str, ...]
) -> None:
    sent = len(server.commands)
    assert_error(enrolled(*words), code=2, error="", hint="")
    assert len(server.commands) == sent


def test_an_unknown_client_is_told_with_a_hint(enrolled: Shell) -> None:
    result = enrolled("rotate", "nobody", "--reason", "r", "--yes")
    assert_error(result, code=1, error="There is no such client.", hint="Check the id")


# --- the inbox


@pytest.fixture
def waiting_secret(enrolled: Shell, server: Service) -> str:
    enrolled.json("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes")
    return server.secrets[ROTATION]


def test_a_secret_is_shown_once_with_a_warning(enrolled: Shell, waiting_secret: str) -> None:
    shown = enrolled("inbox", "--reveal")
    assert waiting_secret in shown.stdout
    assert shown.stderr.startswith("warning: ")
    assert waiting_secret not in enrolled("inbox", "--reveal").output
    again = enrolled("inbox", "--rotation", ROTATION, "--reveal")
    assert_error(again, code=1, error="already delivered", hint="rotate again")


def test_a_second_ack_says_that_it_is_one(enrolled: Shell, waiting_secret: str) -> None:
    assert waiting_secret in enrolled("inbox", "--reveal").stdout
    first, second = enrolled("ack", ROTATION), enrolled("ack", ROTATION)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert second.stdout == first.stdout
    assert (first.stderr, second.stderr) == ("", "This device has already acknowledged it.\n")


def test_a_secret_of_a_canceled_rotation_is_not_taken_without_a_word(enrolled: Shell, waiting_secret: str) -> None:
    enrolled.json("rotation", "cancel", ROTATION)
    shown = enrolled("inbox", "--reveal")
    assert f"warning: {ROTATION} has ended (canceled): its secret is not the current one." in shown.stderr
    assert waiting_secret in shown.stdout


def test_a_server_that_says_nothing_of_a_rotation_keeps_no_secret_back(
    enrolled: Shell, server: Service, waiting_secret: str
) -> None:
    enrolled("inbox")
    server.closed.add("rotations")
    assert waiting_secret in enrolled("inbox", "--reveal").stdout


def test_a_named_rotation_is_one_object(enrolled: Shell, waiting_secret: str) -> None:
    notice = enrolled.json("inbox", "--rotation", ROTATION, "--reveal")
    assert (notice["rotation_id"], notice["secret"]) == (ROTATION, waiting_secret)


def test_nothing_but_reveal_prints_a_secret(enrolled: Shell, waiting_secret: str) -> None:
    for words in (("inbox",), ("inbox", "--json"), ("inbox", "--rotation", ROTATION), ("ack", ROTATION)):
        assert waiting_secret not in enrolled(*words).output


def test_a_secret_goes_to_a_private_file(enrolled: Shell, waiting_secret: str) -> None:
    path = enrolled.folder / "acme.secret"
    done = enrolled("inbox", "--rotation", ROTATION, "--out", str(path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"keyturn ack {ROTATION}" in done.stderr
    assert path.read_text() == waiting_secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_keeps_the_secret_in_the_inbox(enrolled: Shell, waiting_secret: str) -> None:
    path = enrolled.folder / "acme.secret"
    path.write_text("mine")
    result = enrolled("inbox", "--rotation", ROTATION, "--out", str(path))
    assert_error(result, code=1, error="exists", hint="does not exist yet")
    assert enrolled.json("inbox", "--rotation", ROTATION, "--reveal")["secret"] == waiting_secret


def test_a_secret_goes_to_a_program(enrolled: Shell, waiting_secret: str) -> None:
    seen = enrolled.folder / "seen"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    command = shlex.join([sys.executable, "-c", code, str(seen)])
    enrolled("ack", ROTATION)
    assert enrolled("inbox", "--rotation", ROTATION, "--exec", command).exit_code == 0
    assert seen.read_text() == waiting_secret
    assert enrolled.json("inbox")["notices"][0]["taken_at"] is not None


def test_a_program_that_fails_keeps_the_secret_in_the_inbox(enrolled: Shell, waiting_secret: str) -> None:
    command = shlex.join([sys.executable, "-c", "raise SystemExit(9)"])
    result = enrolled("inbox", "--rotation", ROTATION, "--exec", command)
    assert result.exit_code == 9
    assert enrolled.json("inbox", "--rotation", ROTATION, "--reveal")["secret"] == waiting_secret


@pytest.mark.parametrize(
    "words",
    [
        ("--out", "x"),
        ("--exec", "x"),
        ("--rotation", ROTATION, "--out", "x", "--exec", "x"),
        ("--reveal", "--out", "x"),
    ],
)
def test_a_secret_goes_one_way_of_one_rotation(enrolled: Shell, words: tuple[str, ...]) -> None:
    assert_error(enrolled("inbox", *words), code=2, error="", hint="")


def test_what_is_not_in_the_inbox_is_told(enrolled: Shell) -> None:
    assert_error(enrolled("ack", ROTATION), code=1, error="no notice", hint="keyturn inbox")


def test_a_sealed_home_holds_no_secret_in_clear(enrolled: Shell, waiting_secret: str) -> None:
    enrolled("inbox")
    files = [path.read_bytes() for path in (enrolled.folder / "alice").iterdir()]
    assert files
    assert not any(waiting_secret.encode() in data for data in files)


# --- check


def test_a_refused_secret_is_exit_code_1(keyturn: Shell) -> None:
    result = keyturn("check", "acme", stdin="wrong\n")
    assert (result.exit_code, result.stdout) == (1, "refused\n")
    assert json.loads(keyturn("check", "acme", "--json", stdin="wrong").stdout)["accepted"] is False


def test_an_accepted_secret_says_version_and_window(enrolled: Shell, waiting_secret: str) -> None:
    enrolled("ack", ROTATION)
    result = enrolled("check", "acme", stdin=waiting_secret)
    assert result.exit_code == 0
    assert "current" in result.stdout
    assert "no end set" in result.stdout
    assert waiting_secret not in result.output


@pytest.mark.parametrize("stdin", ["", "\n", "two\nlines", "na\u00efve", b"\xff\xfe", "a\x00b"])
def test_what_is_no_secret_gets_no_verdict(keyturn: Shell, server: Service, stdin: str | bytes) -> None:
    assert_error(keyturn("check", "acme", stdin=stdin), code=2, error="not a secret", hint="nothing else")
    assert server.calls == []


def test_a_secret_is_asked_for_at_a_terminal(keyturn: Shell) -> None:
    keyturn.typed = ["wrong"]
    assert keyturn("check", "acme", terminal=True).exit_code == 1


def test_a_sweep_tells_what_it_did(enrolled: Shell, waiting_secret: str) -> None:
    assert waiting_secret
    enrolled.clock.advance(hours=1)  # nobody acknowledges in time
    assert enrolled.json("sweep") == {"settled": 1, "republished": 0, "failed": 0}


# --- what an admin does to a client

UNDOES = {"restore": "rollback", "resume": "suspend"}
"""Commands that need another one first."""


@pytest.mark.parametrize(
    ("words", "params"),
    [
        (("rollback",), {}),
        (("rollback", "--compromised"), {"compromised": True}),
        (("restore",), {}),
        (("retire",), {"version_id": "OLD"}),
        (("suspend",), {}),
        (("resume",), {}),
        (("revoke", "--version", "OLD"), {"version_id": "OLD"}),
        (("revoke", "--version", "NEW", "--force"), {"version_id": "NEW", "force": True}),
        (("revoke", "--all"), {"version_id": "all"}),
    ],
)
def test_a_command_goes_out_with_its_params(
    enrolled: Shell, server: Service, words: tuple[str, ...], params: dict[str, object]
) -> None:
    server.set_policy("acme", minimum_not_before_seconds=0)
    versions: dict[object, str] = {"OLD": enrolled.issue(), "NEW": enrolled.issue()}
    command, *options = (versions.get(word, word) for word in words)
    if command in UNDOES:
        enrolled.json(UNDOES[command], "acme", "--reason", "first")
    answer = enrolled(command, "acme", *options, "--reason", "because", "--json", stdin="acme\n")
    content = json.loads(server.commands[-1].content)
    assert json.loads(answer.stdout)["action"] == command
    sent = {name: versions.get(value, value) for name, value in params.items()}
    assert (content["action_type"], content["params"]) == (command, {**sent, "reason": "because"})


def test_for_people_a_command_says_when_it_holds(enrolled: Shell) -> None:
    enrolled("rotate", "acme", "--reason", "r", "--rotation-id", ROTATION, "--yes")
    assert "active" in enrolled("rotation", "cancel", ROTATION, "--reason", "r").stdout
    assert "within 5 s" in enrolled("suspend", "acme", "--reason", "r").stdout
    assert "settled" in enrolled("sweep").stdout


def test_what_may_have_arrived_is_told(enrolled: Shell, server: Service) -> None:
    carry_on = server.send

    def lose(call: HttpRequest) -> HttpResponse:
        if "rotate_request" in call.url:
            raise UnreachableError("The server does not answer.", "Is it up?")
        return carry_on(call)

    server.send = lose  # type: ignore[method-assign]  # the network goes between two calls
    result = enrolled("rotate", "acme", "--reason", "r", "--rotation-id", ROTATION, "--yes")
    assert_error(result, code=1, error="does not answer", hint=f"rotation show {ROTATION}")


def test_waiting_shows_the_rotation_at_its_end(enrolled: Shell) -> None:
    enrolled.on_sleep = lambda: enrolled.device().ack(ROTATION)
    result = enrolled("rotate", "acme", "--reason", "r", "--rotation-id", ROTATION, "--wait", "--yes")
    assert result.exit_code == 0
    assert "promoted" in result.stdout
    assert "There are no acknowledgements yet." not in result.stdout


def test_a_rotation_without_acknowledgements_says_so(enrolled: Shell, waiting_secret: str) -> None:
    assert waiting_secret
    assert "There are no acknowledgements yet." in enrolled("rotation", "show", ROTATION).stdout


def test_another_id_revokes_nothing(enrolled: Shell, server: Service) -> None:
    result = enrolled("revoke", "acme", "--all", "--reason", "because", stdin="acne\n")
    assert result.exit_code == 2
    assert "hint: " in result.stderr
    assert server.commands == []


@pytest.mark.parametrize("words", [(), ("--all", "--version", ROTATION)])
def test_it_must_be_said_what_to_revoke(enrolled: Shell, words: tuple[str, ...]) -> None:
    assert_error(enrolled("revoke", "acme", "--reason", "r", *words), code=2, error="version to revoke", hint="--all")


def test_retiring_needs_a_version_in_grace(enrolled: Shell) -> None:
    assert_error(enrolled("retire", "acme", "--reason", "r"), code=1, error="in grace", hint="client show")


def test_a_second_person_is_waited_for_plainly(enrolled: Shell, server: Service) -> None:
    server.rewrites["/rotate_request/"] = lambda answer: {**answer, "awaits_second_person": True}
    assert "another admin has to send the same" in enrolled("suspend", "acme", "--reason", "r").stdout


def test_a_rotation_is_canceled_by_its_id(enrolled: Shell, server: Service, waiting_secret: str) -> None:
    assert waiting_secret
    enrolled.json("rotation", "cancel", ROTATION)
    content = json.loads(server.commands[-1].content)
    assert (content["action_type"], content["client_id"]) == ("cancel", "acme")
    assert content["params"]["rotation_id"] == ROTATION


def test_what_the_network_says_can_not_act_on_the_terminal(enrolled: Shell, server: Service) -> None:
    server.rewrites["/clients/acme"] = lambda client: {**client, "status": "\x1b[2Jactive\u202e"}
    assert "\x1b" not in enrolled("client", "show", "acme").stdout


# --- the program


def test_without_words_there_is_help(keyturn: Shell) -> None:
    assert "Usage" in CliRunner().invoke(app, []).output
    assert keyturn("client").exit_code == 2


STRAY = "SECRETSECRET"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (("check", "acme", STRAY), "more arguments", "in your shell's history: rotate"),
        (("check", "acme", f"-{STRAY}"), "no such option", "in your shell's history: rotate"),
        (("check", "acme", f"--secret={STRAY}"), "no such option", "in your shell's history: rotate"),
        (("check", "acme", f"--json={STRAY}"), "takes none", "in your shell's history: rotate"),
        (("check",), "CLIENT_ID is missing", "check --help"),
        (("client", "add", "shop", "--group", "ops", "--kind", STRAY), "The value of --kind", "client add --help"),
        (("client", "add", "shop", "--group", "ops", "--quorum", STRAY), "The value of --quorum", "client add --help"),
        (("client", "add", "shop", "--group", "ops", "--quorum", "0"), "The value of --quorum", "client add --help"),
        (("client", "add", "shop"), "--group is missing", "client add --help"),
        (("client", STRAY), "no such command", "client --help"),
        ((STRAY,), "no such command", "--help"),
        (("client", "list", f"--json={STRAY}"), "takes none", "keyturn client --help"),
        (("rotate", "acme", "--reason"), "lacks its value", "rotate --help"),
        ((f"--{STRAY}", "inbox"), "no such option", "--help"),
        (("rotation", "show", STRAY), "ULID or a lower-case UUID", "lists rotation ids"),
        (("ack", STRAY), "ULID or a lower-case UUID", "lists rotation ids"),
        (("revoke", "acme", "--reason", "r", "--version", STRAY), "A version id", "lists a client's versions"),
        (("client", "show", f"{STRAY}!"), "Invalid id", "Ids have 1 to 128"),
    ],
)
def test_wrong_usage_is_told_in_two_lines_without_what_was_given(
    enrolled: Shell, words: tuple[str, ...], error: str, hint: str
) -> None:
    result = enrolled(*words)
    assert_error(result, code=2, error=error, hint=hint)
    assert len(result.stderr.splitlines()) == 2
    assert STRAY not in result.output


def test_what_is_wrong_in_the_program_itself_is_not_hidden(keyturn: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.cli.session.Session.server", None)
    assert isinstance(keyturn("client", "list").exception, TypeError)


def test_ctrl_c_at_a_prompt_leaves_the_line(keyturn: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_prompt: str) -> str:
        raise KeyboardInterrupt

    ports = replace(keyturn.ports(terminal=True), ask_secret=interrupt)
    monkeypatch.setattr(keyturn, "ports", lambda *, terminal: ports)  # noqa: ARG005 - the method's signature
    result = keyturn("check", "acme", terminal=True)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\n")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--reason", ""), "1 to 512 characters"),
        (("--reason", "x" * 513), "1 to 512 characters"),
        (("--reason", f"now it is {new_secret(bytes(32))}"), "Leave the secret out"),
        (("--reason", "routine", "--rotation-id", ""), "creates one if you give none"),
    ],
)
def test_a_value_that_must_not_be_sent_is_refused_at_once(enrolled: Shell, options: tuple[str, ...], hint: str) -> None:
    calls = len(enrolled.server.calls)
    assert_error(enrolled("rotate", "acme", "--yes", *options), code=2, error="", hint=hint)
    assert len(enrolled.server.calls) == calls


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"keyturn {metadata.version('keyturn')}\n")


def test_the_program_starts(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # the program replaces them
    monkeypatch.setitem(sys.modules, "keyturn.local.commands", None)
    monkeypatch.setattr(sys, "argv", ["keyturn", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Usage: keyturn" in capfd.readouterr().out


@pytest.mark.parametrize("module", ["werkzeug", "local", "keyturn.domain"])
def test_what_is_missing_in_local_commands_is_not_hidden(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def import_nothing(_name: str) -> None:
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr("keyturn.cli.main.import_module", import_nothing)
    with pytest.raises(ModuleNotFoundError):
        register_local(typer.Typer())


def test_local_commands_are_added_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    local, root = ModuleType("keyturn.local.commands"), typer.Typer()
    local.register = lambda app: app.command("up")(lambda: None)  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "keyturn.local.commands", local)
    register_local(root)
    assert [command.name for command in root.registered_commands] == ["up"]


def test_a_device_works_without_local_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    root = typer.Typer()
    monkeypatch.delitem(sys.modules, "keyturn.local.commands", raising=False)
    monkeypatch.setitem(sys.modules, "keyturn.local", None)
    register_local(root)
    assert root.registered_commands == []


def test_the_device_is_a_library_too(enrolled: Shell) -> None:
    home = Home.open(enrolled.folder / "alice", PASSPHRASE)
    device = Device.open(home, URL, transport=enrolled.server, now=enrolled.clock)
    assert device.rotate("acme", "routine")["client_id"] == "acme"
