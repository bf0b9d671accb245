from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from keyturn.domain.policy import Policy
from keyturn.verifier.verdict import Reason
from keyturn.verifier.verifier import Caching, Verifier

from bench import verify, verify_guessing, verify_imported, verify_refusals
from bench.alike import largest_t

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
    monkeypatch.setattr(verify, "CLIENTS", 960)
    measured = verify.memory_of_100k(tmp_path)
    assert measured.parts["whole_bytes"] > verify.CLIENTS * 100
    assert measured.ratio == measured.parts["whole_bytes"] / 100_000_000


def test_a_kept_check_is_set_against_bcrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_CHECKS", 3)
    measured = verify.hot_against_bcrypt12(tmp_path)
    assert measured.ratio == measured.parts["bcrypt_ms"] / measured.parts["hot_ms"]


def test_guesses_are_made_and_others_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_guessing, "_ROUNDS", 2)
    monkeypatch.setattr(verify_guessing, "_HOT_SECONDS", 0.05)
    monkeypatch.setattr(verify_guessing, "GUESSES_A_SECOND", 20)
    measured = verify_guessing.guessing_against_quiet(tmp_path)
    assert measured.parts.keys() == {
        *("cold_quiet_us", "hot_quiet_us", "cold_guessed_us", "hot_guessed_us", "guesses_per_second")
    }
    assert measured.parts["guesses_per_second"] >= 20


def test_bcrypt_has_more_than_it_can_do_and_others_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_imported, "_ROUNDS", 1)
    monkeypatch.setattr(verify_imported, "COST", 6)
    monkeypatch.setattr(verify_guessing, "_HOT_SECONDS", 0.05)
    measured = verify_imported.imported_against_quiet(tmp_path)
    assert min(measured.parts["computed"], measured.parts["refused_for_want_of_a_place"]) > 0
    pairs = [(measured.parts[f"{name}_guessed_us"], measured.parts[f"{name}_quiet_us"]) for name in ("cold", "hot")]
    assert measured.ratio == max(guessed / quiet for guessed, quiet in pairs)


def test_every_kind_of_refusal_is_a_refusal_for_its_own_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presented, store = verify_refusals._presented(Random(1))
    verifier = Verifier(store, store, Policy(), caching=Caching())
    reasons = {kind: {verifier.check(*each).reason for each in pairs} for kind, pairs in presented.items()}
    assert reasons == {
        "unknown": {Reason.UNKNOWN_CLIENT},
        "wrong": {Reason.NO_MATCH},
        "retired": {Reason.NO_MATCH},
        "suspended": {Reason.SUSPENDED},
    }
    monkeypatch.setattr(verify_refusals, "SAMPLES", 20)
    monkeypatch.setattr(verify_refusals, "_WARM_UP", 2)
    measured = verify_refusals.refusals_alike(tmp_path)
    assert measured.ratio == max(measured.parts["t_all"], measured.parts["t_cropped"])


def test_a_difference_in_time_is_seen() -> None:
    random = Random(1)
    alike = [[random.randrange(100, 200) for _ in range(5000)] for _ in range(2)]
    assert max(largest_t({"a": alike[0], "b": alike[1]}).values()) < 4.5
    slower = [value + 10 for value in alike[1]]
    assert min(largest_t({"a": alike[0], "b": slower}).values()) > 4.5
