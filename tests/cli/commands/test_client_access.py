"""`keyturn client access`, as it would be typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import to_milliseconds

from tests.world import START

if TYPE_CHECKING:
    from tests.cli.shell import Shell


def test_an_end_and_ranges_are_set_shown_and_removed(enrolled: Shell) -> None:
    changed = enrolled.json("client", "access", "acme", "--valid-until", "2026-03-20T12:00", "--source", "192.0.2.0/24")
    end = to_milliseconds(START.replace(day=20))
    assert changed == {"client_id": "acme", "valid_until": end, "sources": ["192.0.2.0/24"]}
    shown = enrolled("client", "show", "acme")
    assert "valid until" in shown.stdout
    assert "192.0.2.0/24" in shown.stdout
    assert "end at 2026-03-20 12:00:00 UTC" in " ".join(shown.stderr.split())
    removed = enrolled.json("client", "access", "acme", "--no-end", "--any-source")
    assert removed == {"client_id": "acme", "valid_until": None, "sources": []}
    assert enrolled("client", "access", "acme").stderr == ""


def test_what_excludes_each_other_or_is_no_time_is_wrong_usage(enrolled: Shell) -> None:
    for words in (["--valid-until", "soon"], ["--no-end", "--valid-until", "2027-01-31"]):
        assert enrolled("client", "access", "acme", *words).exit_code == 2
