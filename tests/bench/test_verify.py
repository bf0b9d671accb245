from __future__ import annotations

from typing import TYPE_CHECKING

from bench import verify

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_first_right_secret_makes_two_calls_and_all_others_none(tmp_path: Path) -> None:
    measured = verify.calls_of_a_first_check(tmp_path)
    assert measured.ratio == 1.0
    assert measured.parts == {"first_reads": 1, "first_macs": 1, "repeated_calls": 0, "wrong_macs": 0}


def test_what_is_measured_is_reported_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_CHECKS", 3)
    measured = verify.hot_against_hmac(tmp_path)
    assert measured.parts.keys() == {"hot_ms", "hmac_ms"}


def test_memory_grows_with_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_FIRST", 20)
    monkeypatch.setattr(verify, "_SECOND", 60)
    measured = verify.memory_of_100k(tmp_path)
    assert measured.parts["whole_bytes"] > verify.CLIENTS * 100
