"""`keyturn group` and what `keyturn device` does about a device's keys, as they would be typed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from keyturn.proofs.npub import encode_npub

from tests.cli.shell import ROTATION, assert_error

if TYPE_CHECKING:
    from tests.cli.shell import Shell
    from tests.service import Service
    from tests.world import Clock


def with_bob(shell: Shell) -> Shell:
    shell.json("device", "init", "--name", "phone", home="bob")
    code = shell.json("device", "invite", "--user", "bob", "--group", "ops")["code"]
    shell.json("device", "join", code, home="bob")
    return shell


def npub_of(server: Service, user: str) -> str:
    return next(key for key, name in server.groups["ops"].users.items() if name == user)


def without_token(shell: Shell) -> None:
    (token,) = (shell.folder / "state" / "keyturn").glob("*.token")
    token.unlink()


def test_a_group_is_shown_with_ages_and_who_is_absent(enrolled: Shell, server: Service, clock: Clock) -> None:
    npub = npub_of(with_bob(enrolled).server, "bob")
    server.remove("ops", npub, for_good=False)
    clock.advance(days=3)
    lines = [line.split() for line in enrolled("group", "show", "ops").stdout.splitlines()]
    assert lines[0] == ["group", "ops"]
    assert lines[1] == ["epoch", "3"]
    assert lines[2] == ["USER", "NPUB", "LEAF", "JOINED", "KEYS", "SEEN"]
    assert lines[3][0] == "alice"
    assert lines[3][3:] == ["3d", "ago", "3d", "ago", "never"]
    assert lines[-1][:2] == ["bob", encode_npub(npub)]


def test_a_member_sees_the_group_without_an_operators_token(enrolled: Shell) -> None:
    without_token(enrolled)
    assert enrolled.json("group", "show", "ops")["members"][0]["user"] == "alice"


def test_a_removal_says_what_it_came_to(enrolled: Shell) -> None:
    npub = encode_npub(npub_of(with_bob(enrolled).server, "bob"))
    enrolled.issue("acme")
    enrolled("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes", home="bob")
    shown = enrolled("group", "remove", "bob", "--group", "ops").stdout
    assert npub in shown
    assert ROTATION in shown
    assert "acme" in shown
    assert "rotate these clients" in shown
    refused = enrolled("group", "remove", "mallory", "--group", "ops")
    assert_error(refused, code=1, error="no such user", hint="Check the id")
    told = enrolled("inbox", home="bob").stderr
    assert "This device was removed from the group." in told


def test_a_removal_rotates_what_was_received_and_goes_on_when_one_is_refused(enrolled: Shell, server: Service) -> None:
    with_bob(enrolled)
    server.add_client("brittle", ["ops"])
    server.add_client("shop", ["ops"])
    for client_id in ("acme", "brittle", "shop"):
        enrolled.issue(client_id)
    before = set(server.rotations)
    enrolled("suspend", "brittle", "--reason", "it leaks")
    done = enrolled("group", "remove", "bob", "--group", "ops", "--rotate")
    assert_error(done, code=1, error="Not every client", hint="keyturn rotate")
    assert "warning: brittle: " in done.stderr
    begun = {
        rotation_id: item["client_id"] for rotation_id, item in server.rotations.items() if rotation_id not in before
    }
    assert sorted(begun.values()) == ["acme", "shop"]
    assert all(rotation_id in done.stdout for rotation_id in begun)


def test_a_removal_with_rotations_as_one_object(enrolled: Shell) -> None:
    with_bob(enrolled).issue("acme")
    done = enrolled.json("group", "remove", "bob", "--group", "ops", "--rotate")
    assert done["received"] == ["acme"]
    assert [answer["client_id"] for answer in done["rotations"]] == ["acme"]
    assert done["refused"] == {}


def test_nobody_is_removed_before_the_device_that_is_to_rotate_is_open(enrolled: Shell, server: Service) -> None:
    with_bob(enrolled)
    (enrolled.folder / "passphrase").write_text("another\n")
    done = enrolled("group", "remove", "bob", "--group", "ops", "--rotate")
    assert_error(done, code=1, error="passphrase", hint="Try again")
    assert "bob" in server.groups["ops"].users.values()


def test_only_the_operator_removes(enrolled: Shell) -> None:
    without_token(enrolled)
    refused = enrolled("group", "remove", "alice", "--group", "ops")
    assert_error(refused, code=1, error="no operator token", hint="keyturn up")


def test_keys_are_replaced_by_hand(enrolled: Shell, server: Service) -> None:
    epoch = server.groups["ops"].mls.epoch
    assert enrolled.json("device", "refresh") == {"groups": [{"group": "ops", "epoch": epoch + 1}]}
    assert enrolled("device", "refresh", "--group", "ops").stdout.split()[:4] == ["GROUP", "EPOCH", "KEYS", "OF"]
    assert server.groups["ops"].mls.epoch == epoch + 2
    assert_error(enrolled("device", "refresh", "--group", "no group"), code=2, error="", hint="Ids have")


def test_a_device_comes_back_by_hand(enrolled: Shell, server: Service) -> None:
    enrolled("rotate", "acme", "--reason", "routine", "--rotation-id", ROTATION, "--yes")
    enrolled("inbox")
    done = enrolled("device", "rejoin", "ops", "--json")
    assert f'"epoch": {server.groups["ops"].mls.epoch}' in done.stdout
    assert "came back with new keys" in done.stderr
    assert ROTATION in enrolled("inbox").stdout


def test_who_comes_is_told_on_stderr_and_not_as_a_warning(enrolled: Shell) -> None:
    npub = encode_npub(npub_of(with_bob(enrolled).server, "bob"))
    listed = enrolled("inbox")
    assert listed.stderr == f"ops: bob ({npub}) joined.\n"


def test_an_older_copy_put_back_is_told_and_the_device_comes_back(enrolled: Shell) -> None:
    shutil.copytree(enrolled.folder / "alice", enrolled.folder / "copy")
    enrolled("rotate", "acme", "--reason", "routine", "--yes")
    shutil.rmtree(enrolled.folder / "alice")
    (enrolled.folder / "copy").rename(enrolled.folder / "alice")
    told = enrolled("inbox").stderr
    assert "An older copy of this device's state was restored" in told
    assert "came back with new keys" in told
    assert enrolled("inbox").stderr == ""


def test_a_group_that_this_device_was_never_in_is_told(enrolled: Shell) -> None:
    for command in ("refresh", "rejoin"):
        options = ["--group", "other"] if command == "refresh" else ["other"]
        done = enrolled("device", command, *options)
        assert_error(done, code=1, error="not a member", hint="device invite")
