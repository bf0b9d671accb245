"""`keyturn leak`, `client import` and `client policy` against the real functions, as they would be typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import bcrypt
import pytest
from keyturn.cli.commands import client_import
from keyturn.device.core.errors import UnreachableError
from keyturn.domain.encodings import new_secret
from keyturn.domain.secret_format import scannable_secret

from tests.cli.shell import Operator
from tests.world import CLIENT, GROUP, World, WorldTransport

if TYPE_CHECKING:
    from keyturn.device.api.client import HttpRequest, HttpResponse

pytestmark = pytest.mark.world("alice", "bob")

OLD = "the secret of old"
HASH = bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(4)).decode()


class Watched(WorldTransport):
    """What goes over the wire, remembered."""

    def __init__(self) -> None:
        self.calls: list[HttpRequest] = []
        self.lost: list[str] = []
        """Ends of the addresses whose next answer does not arrive."""

    def send(self, call: HttpRequest) -> HttpResponse:
        self.calls.append(call)
        answer = super().send(call)
        for end in self.lost:
            if call.url.endswith(end):
                self.lost.remove(end)
                raise UnreachableError("lost", "")
        return answer


@pytest.fixture
def wire() -> Watched:
    return Watched()


@pytest.fixture
def keyturn(world: World, wire: Watched) -> Operator:
    return Operator(world, wire)


def issued(keyturn: Operator, **policy: object) -> str:
    """Return a client's only secret."""
    if policy:
        keyturn.json("client", "policy", CLIENT, *(f"--set={name}={value}" for name, value in policy.items()))
    return keyturn.world.issue("alice", "bob")


# --- leak ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize("words", [[], ["--client", CLIENT]])
def test_a_sighted_value_is_named_and_goes_nowhere(
    keyturn: Operator, wire: Watched, switch: str, words: list[str]
) -> None:
    secret = issued(keyturn, scannable_secrets=switch)
    wire.calls.clear()
    told = keyturn.json("leak", *words, stdin=secret + "\n")
    assert (told["found"], told["client_id"], told["state"], told["revoked"]) == (True, CLIENT, "current", None)
    assert told["version_id"] == keyturn.world.check(secret)["version_id"]
    assert wire.calls
    assert not [call for call in wire.calls if secret in f"{call.url} {call.headers} {call.body!r}"]
    assert keyturn.world.check(secret)["accepted"]


def test_a_hint_costs_one_page_and_a_scan_says_what_it_costs(keyturn: Operator, wire: Watched) -> None:
    plain, hinted = issued(keyturn), ""
    keyturn.world.clock.advance(minutes=1)
    hinted = issued(keyturn, scannable_secrets="on")
    for secret, scanned in ((plain, True), (hinted, False)):
        wire.calls.clear()
        result = keyturn("leak", stdin=secret)
        assert result.exit_code == 0
        assert ("one document" in result.stderr) is scanned
        assert len(wire.calls) == 1


@pytest.mark.parametrize("words", [[], ["--client", CLIENT], ["--revoke"]])
@pytest.mark.parametrize("value", [new_secret(bytes(32)), scannable_secret(bytes(32), "0" * 26), "something else"])
def test_what_is_none_of_ours_is_said_to_be_so(keyturn: Operator, value: str, words: list[str]) -> None:
    secret = issued(keyturn)
    assert keyturn.json("leak", *words, stdin=value, code=1)["found"] is False
    told = keyturn("leak", *words, stdin=value)
    assert "not a secret of this service" in told.stdout
    assert ("without quotes" in told.stderr) is (value == "something else")
    assert keyturn.world.check(secret)["accepted"]


def test_a_mistyped_scannable_value_is_told(keyturn: Operator) -> None:
    secret = issued(keyturn, scannable_secrets="on")
    result = keyturn("leak", stdin=secret[:20] + ("A" if secret[20] != "A" else "B") + secret[21:])
    assert result.exit_code == 1
    assert "checksum" in result.stderr
    assert secret not in result.output


def test_with_revoke_it_dies_and_its_successor_is_on_its_way(keyturn: Operator) -> None:
    secret = issued(keyturn)
    told = keyturn.json("leak", "--revoke", stdin=secret)
    assert told["revoked"]["status"] == "suspended"
    assert not keyturn.world.check(secret)["accepted"]
    world = keyturn.world
    world.pump()
    for user in ("alice", "bob"):
        assert world.send(world.admins[user].ack(told["revoked"]["rotation_id"])).status_code == 200
    assert world.check(world.admins["alice"].secret(told["revoked"]["rotation_id"]))["accepted"]
    again = keyturn("leak", "--revoke", stdin=secret)
    assert (again.exit_code, "nothing to revoke" in again.stdout) == (0, True)


def test_an_answer_that_got_lost_is_asked_for_again(keyturn: Operator, wire: Watched) -> None:
    secret = issued(keyturn)
    wire.lost = ["/leak/revoke"]
    told = keyturn.json("leak", "--revoke", stdin=secret)
    assert keyturn.world.document(f"oauth2_clients/{CLIENT}")["active_rotation"] == told["revoked"]["rotation_id"]
    assert wire.lost == []


def test_people_are_told_what_came_of_it(keyturn: Operator) -> None:
    secret = issued(keyturn)
    shown = keyturn("leak", stdin=secret)
    assert "--revoke" in shown.stderr
    ended = keyturn("leak", "--revoke", stdin=secret)
    assert "keyturn ack 0" in ended.stdout
    assert "last live version" in ended.stderr
    assert secret not in shown.output + ended.output


@pytest.mark.parametrize("stdin", ["", "\n", "two\nlines", "t\u00fcr"])
def test_what_is_no_value_is_wrong_usage(keyturn: Operator, stdin: str) -> None:
    assert keyturn("leak", stdin=stdin).exit_code == 2


# --- import --------------------------------------------------------------------------------------------------------


def test_clients_come_from_csv_and_go_on_with_their_secrets(keyturn: Operator) -> None:
    file = keyturn.file(
        f"client_id,groups,kind,secret_hash\nold-1,{GROUP},oauth2,{HASH}\nold-2,{GROUP},x_api_key,{HASH}\n"
    )
    assert keyturn.json("client", "import", file) == {"added": 2, "known": 0, "refused": []}
    assert [keyturn.world.check(OLD, name)["state"] for name in ("old-1", "old-2")] == ["current"] * 2
    assert not keyturn.world.check("wrong", "old-1")["accepted"]
    assert keyturn.json("client", "show", "old-2")["kind"] == "x_api_key"
    assert keyturn.json("client", "import", file) == {"added": 0, "known": 2, "refused": []}


def test_clients_come_from_json_lines_and_from_standard_input(keyturn: Operator) -> None:
    lines = [
        {"client_id": "old-1", "secret_hash": HASH},
        {"client_id": "old-2", "secret_hash": HASH, "groups": [GROUP]},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    result = keyturn("client", "import", "-", "--group", GROUP, "--json", stdin=text)
    assert json.loads(result.stdout) == {"added": 2, "known": 0, "refused": []}


def test_an_imported_client_turns_over_like_any_other(keyturn: Operator) -> None:
    keyturn.json("client", "import", keyturn.file(f"client_id,groups,secret_hash\nold,{GROUP},{HASH}\n"))
    world = keyturn.world
    world.clock.advance(minutes=1)
    new = world.issue("alice", "bob", client_id="old")
    assert [world.check(one, "old")["state"] for one in (OLD, new)] == ["grace", "current"]
    assert world.send(world.admins["alice"].action("rollback", client_id="old")).status_code == 200
    assert [world.check(one, "old")["state"] for one in (OLD, new)] == ["current", "grace"]
    assert world.send(world.admins["alice"].action("restore", client_id="old")).status_code == 200
    world.clock.advance(hours=1, seconds=1)
    assert [world.check(one, "old")["accepted"] for one in (OLD, new)] == [False, True]
    world.sweep()
    keyturn.json("client", "import", keyturn.file(f"client_id,groups,secret_hash\nold,{GROUP},{HASH}\n"))
    assert [world.check(one, "old")["accepted"] for one in (OLD, new)] == [False, True]


def test_bad_rows_are_told_by_line_and_the_rest_comes(keyturn: Operator) -> None:
    other = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    rows = [
        "client_id,groups,kind,secret_hash",
        f"good-1,{GROUP},,{HASH}",
        f"b/ad,{GROUP},,{HASH}",
        f"bad-hash,{GROUP},,plaintext-by-mistake",
        f"bad-group,nowhere,,{HASH}",
        f"bad-groups,,,{HASH}",
        f"bad-kind,{GROUP},door-key,{HASH}",
        "bad-columns",
        "",
        f"{CLIENT},{GROUP},,{HASH}",
        f"good-1,{GROUP},,{other}",
        f"good-2,{GROUP};{GROUP},,{HASH}",
        f"good-3,{GROUP},,{HASH}",
    ]
    told = keyturn.json("client", "import", keyturn.file("\n".join(rows)), code=1)
    assert (told["added"], told["known"]) == (2, 0)
    assert {item["line"]: item["reason"] for item in told["refused"]} == {
        3: "bad_identifier",
        4: "bad_hash",
        5: "unknown_group",
        6: "bad_groups",
        7: "unknown_kind",
        8: "bad_columns",
        10: "client_exists",
        11: "client_exists",
        12: "bad_groups",
    }
    shown = keyturn("client", "import", keyturn.file("\n".join(rows)))
    assert "plaintext-by-mistake" not in shown.output
    assert shown.exit_code == 1


def test_many_rows_go_in_pages(keyturn: Operator, wire: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_import, "PAGE_ROWS", 3)
    rows = "".join(f"old-{number},{GROUP},{HASH}\n" for number in range(7))
    assert keyturn.json("client", "import", keyturn.file("client_id,groups,secret_hash\n" + rows))["added"] == 7
    assert len([call for call in wire.calls if call.url.endswith("/imports")]) == 3


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "client_id,client_id,secret_hash\n", "\ufeffclient_id\nx\n"])
def test_a_file_of_another_kind_is_wrong_usage(keyturn: Operator, text: str) -> None:
    assert keyturn("client", "import", keyturn.file(text)).exit_code == 2


def test_a_file_that_is_not_there_or_no_text_is_wrong_usage(keyturn: Operator) -> None:
    assert keyturn("client", "import", str(keyturn.world.folder / "nowhere")).exit_code == 2
    binary = keyturn.world.folder / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    assert keyturn("client", "import", str(binary)).exit_code == 2


def test_lines_that_are_neither_are_told(keyturn: Operator) -> None:
    good = json.dumps({"client_id": "old-1", "secret_hash": HASH, "groups": GROUP})
    text = f'{good}\n{{"client_id": 5}}\nnonsense\n'
    told = keyturn.json("client", "import", keyturn.file(text), code=1)
    assert [(item["line"], item["reason"]) for item in told["refused"]] == [(2, "bad_field"), (3, "bad_json")]
    broken = f'client_id,groups,secret_hash\nold-2,{GROUP},{HASH}\n"open,{GROUP}\n'
    told = keyturn.json("client", "import", keyturn.file(broken), code=1)
    assert (told["added"], [item["reason"] for item in told["refused"]]) == (1, ["bad_csv"])


def test_an_imported_secret_that_was_sighted_is_found_with_its_client_only(keyturn: Operator, wire: Watched) -> None:
    keyturn.json("client", "import", keyturn.file(f"client_id,groups,secret_hash\nold,{GROUP},{HASH}\n"))
    told = keyturn.json("leak", stdin=OLD, code=1)
    assert told["untried"] == 1
    assert "--client" in keyturn("leak", stdin=OLD).stdout
    found = keyturn.json("leak", "--client", "old", "--revoke", stdin=OLD)
    assert (found["imported"], found["revoked"]["status"]) == (True, "suspended")
    assert not keyturn.world.check(OLD, "old")["accepted"]
    assert HASH not in json.dumps(found) + str([call.body for call in wire.calls[1:]])


# --- policy --------------------------------------------------------------------------------------------------------


def test_a_policy_is_set_and_given_back(keyturn: Operator) -> None:
    words = ["client", "policy", CLIENT]
    told = keyturn.json(*words, "--set", "grace_seconds=60", "--set", "scannable_secrets=on")
    assert told == {"client_id": CLIENT, "policy": {"grace_seconds": 60, "scannable_secrets": True}}
    assert keyturn.json("client", "show", CLIENT)["policy"]["grace_seconds"] == 60
    shown = keyturn(*words, "--set", "grace_seconds=default")
    assert [line.split() for line in shown.stdout.splitlines()[1:]] == [["scannable_secrets", "yes"]]
    assert "no policy of its own" in keyturn(*words, "--set", "scannable_secrets=default").stdout
    assert keyturn.json(*words)["policy"] == {}
    assert keyturn.json("client", "show", CLIENT)["policy"]["grace_seconds"] == 7 * 24 * 3600


@pytest.mark.parametrize("setting", ["nothing=1", "grace_seconds", "grace_seconds=soon", "grace_seconds=-1"])
def test_a_setting_that_can_not_be_is_wrong_usage(keyturn: Operator, setting: str) -> None:
    assert keyturn("client", "policy", CLIENT, "--set", setting).exit_code == 2


def test_a_setting_out_of_bounds_is_refused(keyturn: Operator) -> None:
    result = keyturn("client", "policy", CLIENT, "--set", "grace_seconds=99999999")
    assert result.exit_code == 1
