"""The command line of an attested admin, as people and programs use it."""

from __future__ import annotations

import base64
import hashlib
import json
import os

import pytest
from keyturn.cli.commands.registration import print_qr
from keyturn.device.attestation.fido2 import FidoKeys
from keyturn.device.home.home import Home
from keyturn.proofs.npub import encode_npub

from tests.cli.attested_shell import Attested, last_line
from tests.cli.shell import PASSPHRASE, Shell, assert_error
from tests.device.attestation.soft_authenticator import SoftAuthenticator

pytestmark = pytest.mark.world(founded=False, attested=True)

UNDOES = {"restore": "rollback", "resume": "suspend"}
"""Commands that need another one first."""


@pytest.fixture
def shell(keyturn: Shell) -> Attested:
    return Attested(keyturn.folder, keyturn.server, keyturn.clock)


@pytest.fixture
def enrolled(shell: Attested) -> Attested:
    shell.enrol()
    return shell


# --- signing in


def test_the_machines_authority_signs_in_whom_the_operator_names(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    signed_in = shell("login", "--user", "alice")
    assert signed_in.stdout.splitlines()[0] == "signed in until  2026-03-01 13:00:00 UTC"


def test_a_token_comes_on_standard_input_and_goes_nowhere_else(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    token = shell.server.id_token("alice")
    result = shell("login", stdin=token + "\n")
    assert result.exit_code == 0
    assert token not in result.output
    files = [path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()]
    assert [content for content in files if token.encode() in content] == []
    assert shell("device", "join", shell.invited(), "--totp-uri", stdin=shell.code()).exit_code == 0


def test_a_person_may_paste_it_unseen(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.typed = [PASSPHRASE, shell.server.id_token("alice")]
    assert shell("login", terminal=True).exit_code == 0


def test_a_pipe_carries_the_token_and_the_terminal_the_passphrase(shell: Attested) -> None:
    """The line of docs/deploy.md: `id_token | keyturn login`."""
    shell.json("device", "init", "--name", "laptop")
    shell.typed, shell.attended = [PASSPHRASE], True
    result = shell("login", stdin=shell.server.id_token("alice") + "\n")
    assert result.exit_code == 0, result.stderr
    assert shell.questions == ["Passphrase of this device: "]


def test_what_is_no_token_is_told(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    assert_error(shell("login", stdin="nonsense"), code=2, error="not an ID token", hint="identity provider")
    assert_error(shell("login", stdin=b"\xff\xfe"), code=2, error="not an ID token", hint="identity provider")


def test_joining_without_a_sign_in_says_what_comes_first(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    assert_error(shell("device", "join", shell.invited()), code=1, error="no sign-in", hint="keyturn login")


# --- registering and joining


def test_a_person_sees_the_secret_as_text_and_picture_on_the_screen_only(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    joined = shell("device", "join", shell.invited(), stdin=shell.code(), terminal=True)
    assert joined.exit_code == 0, joined.stderr
    assert "otpauth://totp/" in joined.stderr
    assert joined.stderr.count("█") > 100
    assert joined.stdout.split() == ["user", "alice", "group", "ops", "members", "1"]


def test_a_mistyped_first_code_is_asked_for_again_at_a_terminal(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    typed = "12345\n" + shell.server.code_of(b"another seed, of 20 b") + "\n" + shell.code()
    joined = shell("device", "join", shell.invited(), stdin=typed, terminal=True)
    assert joined.exit_code == 0
    assert "A code has six digits" in joined.stderr
    assert "not the current code" in joined.stderr


def test_a_program_gets_the_secret_first_and_one_object_last(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    joined = shell("device", "join", shell.invited(), "--totp-uri", "--json", stdin=shell.code())
    first, last = joined.stdout.splitlines()
    assert first.startswith("otpauth://totp/")
    assert json.loads(last)["group"] == "ops"
    assert "otpauth" not in joined.stderr


def test_without_a_terminal_the_secret_goes_nowhere_unless_asked_for(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    code = shell.invited()
    joined = shell("device", "join", code, stdin=shell.code())
    assert_error(joined, code=2, error="needs a terminal", hint="--totp-uri")
    assert "otpauth" not in joined.output
    assert shell("device", "join", code, "--totp-uri", stdin=shell.code()).exit_code == 0


def test_a_program_that_gives_a_wrong_code_or_none_is_told(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    code = shell.invited()
    wrong = shell("device", "join", code, "--totp-uri", stdin=shell.server.code_of(b"x" * 20) + "\n")
    assert_error(wrong, code=1, error="does not authorise", hint="shows now")
    assert_error(shell("device", "join", code, "--totp-uri"), code=1, error="code is required", hint="six digits")


def test_a_new_authenticator_takes_over(enrolled: Attested) -> None:
    code, enrolled.server.next_seed = enrolled.invited(purpose="totp"), os.urandom(20)
    first = enrolled.server.code_of(enrolled.server.next_seed)
    joined = enrolled("device", "join", code, "--totp-uri", stdin=first + "\n")
    assert joined.exit_code == 0, joined.stderr
    assert "From now on" in joined.stdout
    assert base64.b32decode(enrolled.server.seeds["alice"]) == enrolled.server.next_seed
    again = enrolled("device", "join", enrolled.invited(purpose="totp"), "--totp-uri", "--json", stdin=enrolled.code())
    assert last_line(again) == {"user": "alice", "purpose": "totp"}


def test_an_invite_says_whose_approval_it_waits_for(enrolled: Attested) -> None:
    invited = enrolled("device", "invite", "--user", "bob", "--group", "ops")
    code = invited.stdout.splitlines()[0].split()[1]
    invite = hashlib.sha256(code.encode()).hexdigest()
    assert f"another admin's approval: `keyturn admin approve {invite} --user bob --purpose join`" in invited.stdout
    enrolled.server.rewrites["/operator/invites"] = lambda answer: {**answer, "needed": 2}
    assert "2 other admins' approval" in enrolled("device", "invite", "--user", "bob", "--group", "ops").stdout


def test_a_lost_device_is_named_by_its_npub_and_what_it_knows_is_told(enrolled: Attested) -> None:
    enrolled.issue()
    npub = enrolled.json("admin", "list")["admins"][0]["devices"][0]["npub"]
    words = (
        "device",
        "invite",
        "--user",
        "alice",
        "--group",
        "ops",
        "--purpose",
        "device",
        "--revoke",
        encode_npub(npub),
    )
    invited = enrolled(*words)
    assert invited.exit_code == 0, invited.stderr
    facts = dict(line.split("  ", 1) for line in invited.stdout.splitlines() if "  " in line)
    assert facts["devices removed"].strip() == encode_npub(npub)
    assert "rotate these clients" in invited.stdout
    wrong = enrolled(*words[:-1], "npub1wrong")
    assert wrong.exit_code == 2
    assert "npub1wrong" not in wrong.stderr


def test_a_home_has_its_device_key_from_the_beginning(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    assert Home.open(shell.folder / "alice", PASSPHRASE).ids("attestation") == ("dev_attest",)


def test_a_security_key_needs_an_address_that_it_serves(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    shell.security_keys = FidoKeys(lambda: "", lambda _sentence: None, lambda: [SoftAuthenticator()])
    joined = shell("device", "join", shell.invited(), "--security-key", "--totp-uri")
    assert_error(joined, code=1, error="does not work with this address", hint="https://")


def test_without_one_plugged_in_that_is_said(shell: Attested) -> None:
    shell.json("device", "init", "--name", "laptop")
    shell.json("login", "--user", "alice")
    shell.security_keys = FidoKeys(lambda: "", lambda _sentence: None, list)
    joined = shell("device", "join", shell.invited(), "--security-key", "--totp-uri")
    assert_error(joined, code=1, error="No security key is plugged in", hint="exactly one")


# --- commands


def test_rotating_asks_for_the_code_and_does_the_rest(enrolled: Attested) -> None:
    asked = enrolled("rotate", "acme", "--reason", "routine", "--yes", stdin=enrolled.code())
    assert asked.exit_code == 0, asked.stderr
    assert "Code of your authenticator app:" in asked.stderr
    assert "The secret is being sent" in asked.stdout


def test_at_a_terminal_the_question_comes_before_the_code(enrolled: Attested) -> None:
    typed = "y\n" + enrolled.code()
    asked = enrolled("rotate", "acme", "--reason", "routine", stdin=typed, terminal=True)
    assert asked.exit_code == 0, asked.stderr
    assert asked.stderr.index("Rotate?") < asked.stderr.index("Code of your")


def test_without_a_code_nothing_is_sent(enrolled: Attested) -> None:
    asked = enrolled("rotate", "acme", "--reason", "routine", "--yes")
    assert_error(asked, code=1, error="code is required", hint="six digits")
    assert enrolled.server.commands == []


def test_revoking_everything_asks_for_the_id_and_then_for_the_code(enrolled: Attested) -> None:
    typed = "acme\n" + enrolled.code()
    assert enrolled("revoke", "acme", "--all", "--reason", "gone", stdin=typed).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [("rollback",), ("restore",), ("suspend",), ("resume",), ("revoke", "--version", "OLD")],
)
def test_every_act_on_a_client_asks_for_one(enrolled: Attested, words: tuple[str, ...]) -> None:
    enrolled.server.set_policy("acme", minimum_not_before_seconds=0)
    versions = {"OLD": enrolled.issue(), "NEW": enrolled.issue()}
    command, *options = (versions.get(word, word) for word in words)
    if command in UNDOES:
        assert enrolled(UNDOES[command], "acme", "--reason", "first", stdin=enrolled.code()).exit_code == 0
    spent = enrolled.server.spent_proofs
    done = enrolled(command, "acme", "--reason", "why", *options, stdin=enrolled.code())
    assert done.exit_code == 0, done.stderr
    assert enrolled.server.spent_proofs == spent + 1


def test_a_server_that_asks_for_none_asks_for_none(enrolled: Attested) -> None:
    enrolled.server.require_proofs(required=False)
    asked = enrolled("rotate", "acme", "--reason", "routine", "--yes")
    assert asked.exit_code == 0
    assert "Code" not in asked.stderr


# --- admins


def test_approving_takes_a_code_and_says_how_many_there_are(enrolled: Attested) -> None:
    enrolled.admit("bob")
    invite = enrolled.json("device", "invite", "--user", "carol", "--group", "ops")["invite"]
    approved = enrolled("admin", "approve", invite, "--user", "carol", stdin=enrolled.code())
    assert approved.exit_code == 0, approved.stderr
    assert approved.stdout.splitlines()[1] == "approvals  1 of 1"
    enrolled.json("admin", "suspend", "bob")
    waits = enrolled.json("admin", "resume", "bob")["awaits_approval"]
    words = ("admin", "approve", waits, "--user", "bob", "--purpose", "resume", "--json")
    assert last_line(enrolled(*words, stdin=enrolled.code()))["needed"] == 1
    purposes = [json.loads(event["content"])["params"]["purpose"] for event in enrolled.server.approvals]
    assert purposes == ["join", "join", "resume"]


def test_admins_are_listed(enrolled: Attested) -> None:
    listed = enrolled("admin", "list")
    assert listed.stdout.splitlines()[0].split() == ["USER", "STATUS", "DEVICES"]
    assert "npub1" in listed.stdout
    assert enrolled.json("admin", "list")["admins"][0]["user"] == "alice"


def test_no_admins_say_so(shell: Attested) -> None:
    assert "no admins yet" in shell("admin", "list").stdout


@pytest.mark.parametrize("act", ["suspend", "remove"])
def test_whoever_goes_leaves_a_list_of_what_they_know(enrolled: Attested, act: str) -> None:
    enrolled.admit("bob")
    enrolled.issue()
    gone = enrolled("admin", act, "bob")
    assert gone.exit_code == 0
    assert "rotate these clients" in gone.stdout
    assert enrolled.json("admin", act, "bob")["received"] == ["acme"]
    states = {admin["user"]: admin["status"] for admin in enrolled.json("admin", "list")["admins"]}
    assert states["bob"] == {"suspend": "suspended", "remove": "removed"}[act]


@pytest.mark.parametrize("act", ["suspend", "remove"])
def test_what_they_know_is_rotated_where_that_is_asked_for(enrolled: Attested, act: str) -> None:
    enrolled.admit("bob")
    enrolled.issue()
    gone = last_line(enrolled("admin", act, "bob", "--rotate", "--json", stdin=enrolled.code()))
    assert [rotation["client_id"] for rotation in gone["rotations"]] == ["acme"]
    assert gone["refused"] == {}


def test_resuming_says_who_has_to_approve(enrolled: Attested) -> None:
    enrolled.admit("bob")
    enrolled.json("admin", "suspend", "bob")
    resumed = enrolled("admin", "resume", "bob")
    waits = enrolled.json("admin", "resume", "bob")["awaits_approval"]
    assert f"`keyturn admin approve {waits} --user bob --purpose resume`" in resumed.stdout


def test_the_picture_stands_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_qr("otpauth://totp/keyturn:alice?secret=A&issuer=keyturn")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len({len(line) for line in captured.err.splitlines()}) == 1
