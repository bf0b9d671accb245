"""`keyturn client tokens`, and what `client add` and `client show` say of tokens, as they would be typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.shell import assert_error

if TYPE_CHECKING:
    from tests.cli.shell import Shell


AUDIENCE = "https://orders.example"


def test_a_client_is_added_with_its_terms_and_shown_with_them(keyturn: Shell) -> None:
    terms = ("--audience", AUDIENCE, "--scope", "read", "--scope", "write", "--introspects", AUDIENCE)
    added = keyturn("client", "add", "shop", "--group", "ops", *terms)
    lines = [line.split(maxsplit=1) for line in added.stdout.splitlines()]
    assert ["audience", AUDIENCE] in lines
    assert ["scopes", "read write"] in lines
    assert ["introspects", AUDIENCE] in lines
    assert keyturn("client", "show", "shop").stdout == added.stdout


def test_a_client_without_terms_has_none_in_its_block(enrolled: Shell) -> None:
    shown = enrolled("client", "show", "acme").stdout
    assert not {"audience", "scopes", "introspects"} & {line.split()[0] for line in shown.splitlines()}
    lines = enrolled("client", "tokens", "acme").stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["acme", "the deployment's", "-", "-", "the deployment's"]


def test_what_is_named_changes_and_the_rest_stays(enrolled: Shell) -> None:
    changed = enrolled.json("client", "tokens", "acme", "--scope", "read", "--introspects", AUDIENCE)
    assert changed == {
        "client_id": "acme",
        "tokens": {"audience": None, "scopes": ["read"], "introspects": [AUDIENCE], "algorithm": None},
    }
    enrolled("client", "tokens", "acme", "--no-introspects", "--audience", AUDIENCE)
    shown = enrolled.json("client", "tokens", "acme")["tokens"]
    assert shown == {"audience": AUDIENCE, "scopes": ["read"], "introspects": [], "algorithm": None}
    changed = enrolled.json("client", "tokens", "acme", "--algorithm", "RS256")
    assert changed["tokens"] == {**shown, "algorithm": "RS256"}
    assert enrolled.json("client", "tokens", "acme", "--no-scopes")["tokens"]["scopes"] == []


def test_a_list_and_none_of_it_is_wrong_usage(enrolled: Shell) -> None:
    for options in (("--scope", "read", "--no-scopes"), ("--introspects", AUDIENCE, "--no-introspects")):
        result = enrolled("client", "tokens", "acme", *options)
        assert_error(result, code=2, error="exclude each other", hint="whole list")


def test_tokens_are_the_operators_to_see_and_to_change(enrolled: Shell) -> None:
    (token,) = (enrolled.folder / "state" / "keyturn").glob("*.token")
    token.unlink()
    for options in ((), ("--scope", "read")):
        assert_error(enrolled("client", "tokens", "acme", *options), code=1, error="operator token", hint="keyturn up")
